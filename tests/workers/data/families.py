"""Chat templates in the manner of several model families, written for these tests, each with a tokenizer of its kind."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.workers.data.tiny import byte_level_tokenizer, metaspace_tokenizer, write_folder

CHATML = """{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' -}}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' -}}
{% endif %}"""

QWEN_TOOLS = """{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {{- messages[0].content if messages[0].role == 'system' else 'You help.' }}
    {{- '\n\n# Tools\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last=messages | length - 1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set ns.last = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set answer = message.content %}
        {%- if '</think>' in answer %}{%- set answer = answer.split('</think>')[-1].lstrip('\n') %}{%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
        {{- answer }}
        {%- if message.tool_calls %}
            {%- for call in message.tool_calls %}
                {%- if call.function %}{%- set call = call.function %}{%- endif %}
                {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
                {{- call.arguments | tojson }}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""

LLAMA3 = (
    "{% for message in messages %}{% set opening = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' %}"
    "{% set piece = opening + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set piece = bos_token + piece %}{% endif %}{{ piece }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

INTERNLM2 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

INTERNLM3 = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helper.<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}{%- if message.role == 'tool' %}"
    "{{ '<|im_start|>environment name=<|plugin|>\n' + message.content + '<|im_end|>\n' }}"
    "{%- else %}{{ '<|im_start|>' + message.role + '\n' + message.content }}{%- for call in message.tool_calls or [] %}"
    "{{ '<|action_start|><|plugin|>\n' + call.function | tojson + '<|action_end|>' }}{%- endfor %}"
    "{{ '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
    "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
    "{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

GLM4 = (
    "[gMASK]<sop>{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

GENERATION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    template: str
    special: list[str]
    names: dict[str, str]
    stops: list[str]
    tools: bool = False
    sentencepiece: bool = False
    extra: dict[str, str] = field(default_factory=dict)

    def build(self, folder: Path) -> Path:
        make = metaspace_tokenizer if self.sentencepiece else byte_level_tokenizer
        tokenizer = make(self.special)
        stops = [tokenizer.token_to_id(token) for token in self.stops]
        return write_folder(folder, tokenizer, self.template, stops, **self.names)


_IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_QWEN = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
_INTERN = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|action_start|>", "<|action_end|>", "<|plugin|>"]
_SP = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

FAMILIES = {
    "chatml": Family(CHATML, _IM, _QWEN, ["<|im_end|>"]),
    "qwen": Family(QWEN_TOOLS, _IM, _QWEN, ["<|im_end|>", "<|endoftext|>"], tools=True),
    "llama3": Family(
        LLAMA3,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        ["<|end_of_text|>", "<|eot_id|>"],
    ),
    "internlm2": Family(INTERNLM2, _INTERN, _SP, ["</s>", "<|im_end|>"], sentencepiece=True),
    "internlm3": Family(INTERNLM3, _INTERN, _SP, ["</s>", "<|im_end|>"], tools=True, sentencepiece=True),
    "llama2": Family(LLAMA2, ["<s>", "</s>"], _SP, ["</s>"], sentencepiece=True),
    "glm4": Family(
        GLM4,
        ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
        {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
        ["<|endoftext|>", "<|user|>", "<|observation|>"],
    ),
    "generation": Family(GENERATION, _IM, _QWEN, ["<|im_end|>"]),
}

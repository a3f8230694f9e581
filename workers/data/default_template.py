"""The chat templates for models that bring none.

With the tokens <|im_start|> and <|im_end|> it is ChatML: `<|im_start|>role\\ncontent<|im_end|>\\n`. Tools are listed as JSON
lines between <tools> and </tools> at the end of the system turn; a call is written in the assistant's turn after its content as
`<tool_call>{"name": …, "arguments": {…}}</tool_call>`; a tool's answer is a turn of the role `tool`.
Without these tokens it is `User: …`, `Assistant: …` and the tokenizer's end-of-text token after each answer.
"""

_SYSTEM_AND_TOOLS = """
{%- set opening = messages[0]['content'] if messages and messages[0]['role'] == 'system' else '' -%}
{%- if tools -%}
  {%- set listing = namespace(text=opening + ('\\n\\n' if opening else '') + '<tools>') -%}
  {%- for tool in tools -%}{%- set listing.text = listing.text + '\\n' + (tool | tojson) -%}{%- endfor -%}
  {%- set opening = listing.text + '\\n</tools>' -%}
{%- endif -%}
"""

_CONTENT_AND_CALLS = """
    {{- message['content'] or '' -}}
    {%- for item in message['tool_calls'] or [] -%}
      {%- set call = item['function'] or item -%}
      {%- set arguments = call['arguments'] if call['arguments'] is string else call['arguments'] | tojson -%}
      {{- '<tool_call>{"name": ' + (call['name'] | tojson) + ', "arguments": ' + arguments + '}</tool_call>' -}}
    {%- endfor -%}
"""

CHATML_TEMPLATE = (
    _SYSTEM_AND_TOOLS.lstrip("\n")
    + """
{%- if opening -%}{{- '<|im_start|>system\\n' + opening + '<|im_end|>\\n' -}}{%- endif -%}
{%- for message in messages -%}
  {%- if not (loop.first and message['role'] == 'system') -%}
    {{- '<|im_start|>' + message['role'] + '\\n' -}}
"""
    + _CONTENT_AND_CALLS
    + """
    {{- '<|im_end|>\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
)

PLAIN_TEMPLATE = (
    _SYSTEM_AND_TOOLS.lstrip("\n")
    + """
{%- if opening -%}{{- opening + '\\n' -}}{%- endif -%}
{%- for message in messages -%}
  {%- if not (loop.first and message['role'] == 'system') -%}
    {{- message['role'] | capitalize + ': ' -}}
"""
    + _CONTENT_AND_CALLS
    + """
    {{- eos_token if message['role'] == 'assistant' else '\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}
"""
)

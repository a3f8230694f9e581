"""S8.9: one template object; its tokens are those of transformers, its mask is the assistant's words and their end."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.workers.data.families import FAMILIES
from tests.workers.data.tiny import byte_level_tokenizer, metaspace_tokenizer, write_folder
from workers.data import template_sandbox
from workers.data.templates import ChatTemplate, StreamDecoder, load_template, write_default_template
from workers.spec.errors import UserError
from workers.spec.record import Message

CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "  Hello, how are you?\n"},
    {"role": "assistant", "content": "Fine 🙂 thanks; 你好。"},
    {"role": "user", "content": "天气 in Paris?"},
    {"role": "assistant", "content": "It is nice.\n\n- sunny\n- 20 °C"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather <b>",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
TOOL_CONVERSATION = [
    {"role": "user", "content": "天气 in Paris?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "巴黎"}}}],
    },
    {"role": "tool", "content": '{"degrees": 20}', "tool_call_id": "a"},
    {"role": "assistant", "content": "20 degrees."},
]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, FAMILIES[request.param].build(tmp_path / request.param)


def trained_text(template: ChatTemplate, messages: list, tools: list | None = None) -> list[str]:
    """The text of each run of learnt tokens."""
    encoded = template.encode(messages, tools)
    runs: list[list[int]] = []
    previous = False
    for token_id, trained in zip(encoded.token_ids, encoded.train_mask, strict=True):
        if trained and not previous:
            runs.append([])
        if trained:
            runs[-1].append(token_id)
        previous = trained
    return [template.decode(run, skip_special_tokens=False) for run in runs]


def test_tokens_equal_those_of_transformers_in_every_family(family: tuple[str, Path]) -> None:
    """S8.9, N3: whole conversations, prompts and continued answers, token for token."""
    from transformers import PreTrainedTokenizerFast

    name, folder = family
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    ours = load_template(folder)
    cases: list[tuple[list, list | None]] = [(CONVERSATION, None), (CONVERSATION[1:], None)]
    if FAMILIES[name].tools:
        cases.append((TOOL_CONVERSATION, TOOLS))
    for messages, tools in cases:
        whole = theirs.apply_chat_template(messages, tools=tools, return_dict=False)
        encoded = ours.encode(messages, tools)
        closed = [ours.eos_token_id] if name == "glm4" else []
        assert encoded.token_ids == whole + closed
        assert ours.render(messages, tools) == theirs.apply_chat_template(messages, tools=tools, tokenize=False)
        prompt = theirs.apply_chat_template(messages[:-1], tools=tools, add_generation_prompt=True, return_dict=False)
        assert ours.encode_prompt(messages[:-1], tools) == prompt
        final = theirs.apply_chat_template(messages, tools=tools, continue_final_message=True, return_dict=False)
        assert ours.encode_prompt(messages, tools, continue_final=True) == final


EXPECTED_TURNS = {
    "chatml": ["Fine 🙂 thanks; 你好。<|im_end|>", "It is nice.\n\n- sunny\n- 20 °C<|im_end|>"],
    "qwen": ["Fine 🙂 thanks; 你好。<|im_end|>", "<think>\n\n</think>\n\nIt is nice.\n\n- sunny\n- 20 °C<|im_end|>"],
    "llama3": ["Fine 🙂 thanks; 你好。<|eot_id|>", "It is nice.\n\n- sunny\n- 20 °C<|eot_id|>"],
    "internlm2": ["Fine 🙂 thanks; 你好。<|im_end|>", "It is nice.\n\n- sunny\n- 20 °C<|im_end|>"],
    "internlm3": ["Fine 🙂 thanks; 你好。<|im_end|>", "It is nice.\n\n- sunny\n- 20 °C<|im_end|>"],
    "llama2": ["Fine 🙂 thanks; 你好。 </s>", "It is nice.\n\n- sunny\n- 20 °C </s>"],
    "glm4": ["\nFine 🙂 thanks; 你好。<|user|>", "\nIt is nice.\n\n- sunny\n- 20 °C<|endoftext|>"],
    "generation": ["Fine 🙂 thanks; 你好。<|im_end|>", "It is nice.\n\n- sunny\n- 20 °C<|im_end|>"],
}


def test_mask_covers_answers_and_their_end_in_every_family(family: tuple[str, Path]) -> None:
    """Also where the template shows the last turn differently (qwen) or leaves it open (glm4)."""
    name, folder = family
    template = load_template(folder)
    assert [text.strip(" ") for text in trained_text(template, CONVERSATION)] == EXPECTED_TURNS[name]
    last = template.encode(CONVERSATION)
    learnt = [token for token, trained in zip(last.token_ids, last.train_mask, strict=True) if trained]
    assert learnt[-1] in template.stop_token_ids


def test_mask_honours_train_flag_of_each_message(family: tuple[str, Path]) -> None:
    name, folder = family
    template = load_template(folder)
    messages = [*CONVERSATION[:2], {**CONVERSATION[2], "train": False}, *CONVERSATION[3:]]
    assert [text.strip(" ") for text in trained_text(template, messages)] == EXPECTED_TURNS[name][1:]
    nothing = [{**message, "train": False} for message in CONVERSATION]
    assert not any(template.encode(nothing).train_mask)
    assert template.encode(messages).token_ids == template.encode(CONVERSATION).token_ids


def test_prompt_is_a_prefix_of_the_trained_conversation(family: tuple[str, Path]) -> None:
    """N3: what the model is asked with when serving is what stood before its answer in training."""
    _, folder = family
    template = load_template(folder)
    prompt = template.encode_prompt(CONVERSATION[:-1])
    encoded = template.encode(CONVERSATION)
    assert encoded.token_ids[: len(prompt)] == prompt
    assert template.prompt_matches(CONVERSATION)
    assert encoded.train_mask[len(prompt)]


def test_template_whose_prompt_differs_from_its_history_is_told(tmp_path: Path) -> None:
    """N3: the opening that serving asks with was never seen in training."""
    family = FAMILIES["chatml"]
    template = family.template.replace("assistant\n", "assistant\n\n")
    folder = write_folder(tmp_path, byte_level_tokenizer(family.special), template, **family.names)
    assert not load_template(folder).prompt_matches(CONVERSATION)
    assert trained_text(load_template(folder), CONVERSATION) == EXPECTED_TURNS["chatml"]


@pytest.mark.parametrize("name", ["qwen", "internlm3"])
def test_tool_calls_are_learnt_and_tool_answers_are_not(name: str, tmp_path: Path) -> None:
    template = load_template(FAMILIES[name].build(tmp_path))
    first, second = trained_text(template, TOOL_CONVERSATION, TOOLS)
    assert "weather" in first
    assert "巴黎" in first
    assert first.endswith("<|im_end|>")
    assert second.endswith("20 degrees.<|im_end|>")
    assert 'degrees"' not in second


def test_tool_arguments_given_as_text_render_as_objects(tmp_path: Path) -> None:
    template = load_template(FAMILIES["qwen"].build(tmp_path))
    as_text = json.loads(json.dumps(TOOL_CONVERSATION))
    as_text[1]["tool_calls"][0]["function"]["arguments"] = '{"city": "巴黎"}'
    assert template.render(as_text, TOOLS) == template.render(TOOL_CONVERSATION, TOOLS)


def test_default_template_is_chatml_with_tool_calls(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, byte_level_tokenizer(["<|im_start|>", "<|im_end|>"]), eos_token="<|im_end|>")
    template = load_template(folder)
    assert template.is_default
    assert template.render(TOOL_CONVERSATION, TOOLS, add_generation_prompt=True) == (
        "<|im_start|>system\n<tools>\n" + json.dumps(TOOLS[0], ensure_ascii=False) + "\n</tools><|im_end|>\n"
        "<|im_start|>user\n天气 in Paris?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>{"name": "weather", "arguments": {"city": "巴黎"}}</tool_call><|im_end|>\n'
        '<|im_start|>tool\n{"degrees": 20}<|im_end|>\n'
        "<|im_start|>assistant\n20 degrees.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.render(CONVERSATION[:3]) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n  Hello, how are you?\n<|im_end|>\n"
        "<|im_start|>assistant\nFine 🙂 thanks; 你好。<|im_end|>\n"
    )
    before = template.hash
    write_default_template(folder)
    again = load_template(folder)
    assert again.hash == before
    assert not again.is_default
    assert template.stop_token_ids == [template.tokenizer.token_to_id("<|im_end|>")]


def test_default_template_without_chatml_tokens_ends_answers_with_end_of_text(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, metaspace_tokenizer(["<s>", "</s>"]), bos_token="<s>", eos_token="</s>")
    template = load_template(folder)
    assert template.render(CONVERSATION[1:3]) == "User:   Hello, how are you?\n\nAssistant: Fine 🙂 thanks; 你好。</s>"
    assert trained_text(template, CONVERSATION[1:3]) == ["Fine 🙂 thanks; 你好。</s>"]


def test_records_messages_render_like_plain_dictionaries(tmp_path: Path) -> None:
    template = load_template(FAMILIES["qwen"].build(tmp_path))
    messages = [Message.model_validate(message) for message in TOOL_CONVERSATION]
    assert template.encode(messages, TOOLS) == template.encode(TOOL_CONVERSATION, TOOLS)


def test_hash_changes_with_template_and_tokenizer(tmp_path: Path) -> None:
    first = load_template(FAMILIES["chatml"].build(tmp_path / "a"))
    assert first.hash == load_template(FAMILIES["chatml"].build(tmp_path / "b")).hash
    (tmp_path / "b" / "chat_template.jinja").write_text(FAMILIES["chatml"].template + " ")
    assert first.hash != load_template(tmp_path / "b").hash


def test_template_in_tokenizer_config_and_named_templates_are_read(tmp_path: Path) -> None:
    family = FAMILIES["chatml"]
    folder = write_folder(tmp_path, byte_level_tokenizer(family.special), **family.names)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = family.template
    config["eos_token"] = {"content": "<|im_end|>", "special": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert load_template(folder).render(CONVERSATION) == load_template(family.build(tmp_path / "x")).render(CONVERSATION)
    config["chat_template"] = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "with {{ tools | length }} tool"},
    ]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    template = load_template(folder)
    assert (template.render(CONVERSATION), template.render(CONVERSATION, TOOLS)) == ("plain", "with 1 tool")


REFUSED = {
    "unterminated": ("{% for m in messages %}", "template.invalid"),
    "raises": ("{{ raise_exception('system first') }}", "template.refused"),
    "undefined": ("{{ messages[9].content.x.y }}", "template.failed"),
    "hides the answer": ("{% for m in messages | reverse %}{{ m.content | upper }}<|im_end|>{% endfor %}", "template.turn"),
    "endless loops": (
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "template.too_costly",
    ),
    "huge repetition": ("{{ 'x' * 999999999 }}", "template.too_costly"),
    "doubling": (
        "{% set ns = namespace(t='xxxxxxxx') %}{% for a in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
        "template.too_costly",
    ),
    "huge width": ("{{ 'x'.ljust(999999999) }}", "template.failed"),
    "huge format": ("{{ '%999999999s' % 'x' }}", "template.failed"),
    "endless macro": ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "template.failed"),
    "classes": ("{{ ''.__class__.__mro__[1].__subclasses__() | length }}", "template.failed"),
    "underscore names": ("{% set ns = namespace(__init__=1) %}", "template.failed"),
    "changes messages": ("{{ messages.append(1) }}", "template.failed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_template_is_refused_in_one_sentence(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sandbox, "MAX_STEPS", 200_000)
    source, code = REFUSED[case]
    folder = write_folder(tmp_path, byte_level_tokenizer(["<|im_end|>"]), source, eos_token="<|im_end|>")
    with pytest.raises(UserError) as caught:
        load_template(folder).encode(CONVERSATION[1:3])
    assert caught.value.code.startswith(code)
    assert caught.value.message


def test_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_template(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load_template(tmp_path)


@pytest.mark.parametrize("kind", ["byte level", "metaspace"])
def test_stream_decoder_never_emits_half_a_character(kind: str, tmp_path: Path) -> None:
    make = byte_level_tokenizer if kind == "byte level" else metaspace_tokenizer
    template = load_template(write_folder(tmp_path, make(["</s>"]), eos_token="</s>"))
    text = "Hello  world 🙂👩‍👩‍👧 你好，龘 é\n\tend "
    ids = template.encode_text(text)
    decoder = StreamDecoder(template)
    pieces = [decoder.feed(token) for token in [*ids, template.eos_token_id]] + [decoder.finish()]
    assert "".join(pieces) == template.decode(ids)
    assert not any("\ufffd" in piece for piece in pieces)


def test_stream_decoder_lets_broken_bytes_out_at_the_end(tmp_path: Path) -> None:
    template = load_template(write_folder(tmp_path, byte_level_tokenizer(["</s>"]), eos_token="</s>"))
    half = template.encode_text("龘")[:-1]
    decoder = StreamDecoder(template)
    assert "".join(decoder.feed(token) for token in half) == ""
    assert decoder.finish() == "\ufffd"


def test_tokens_kept_only_in_the_configuration_are_added(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, byte_level_tokenizer(["<|im_start|>"]), eos_token="<|im_end|>")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    new_id = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    config["added_tokens_decoder"] = {str(new_id): {"content": "<|im_end|>", "special": True, "lstrip": False}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    template = load_template(folder)
    assert template.eos_token_id == new_id
    assert template.encode_text("a<|im_end|>")[-1] == new_id

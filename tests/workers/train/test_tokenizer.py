from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.spec.errors import UserError

TEXTS = [
    "The lamp costs 1234 coins.",
    " two  spaces\n\nand lines",
    "你好，北京！",
    "naïve café 🙂",
    "<|im_start|>user\nhi<|im_end|>\n",
    "",
]


def run(tmp_path: Path, rows: list[dict], **spec: object) -> tiny.Run:
    settings = {"name": "t", "datasets": [1], "vocabulary": 500, **spec}
    return tiny.Run(tmp_path / "run", "tokenizer", settings, {"dataset": tiny.dataset(tmp_path / "d.jsonl", rows)})


def test_tokenizer_folder_gives_the_same_tokens_in_transformers(tmp_path: Path) -> None:
    result = run(tmp_path, tiny.passages() + tiny.conversations(), special_tokens=["<|tool|>"]).here()
    folder = tmp_path / "run/out/model"
    ours, theirs = load_template(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in [*TEXTS, "a<|tool|>b"]:
        assert ours.encode_text(text) == theirs(text, add_special_tokens=False)["input_ids"] == theirs(text)["input_ids"]
        assert ours.decode(ours.encode_text(text), skip_special_tokens=False) == text
        assert theirs.decode(theirs(text)["input_ids"], clean_up_tokenization_spaces=False) == text
    assert result["vocabulary"] == len(theirs)
    assert (theirs.eos_token, theirs.pad_token) == ("<|endoftext|>", "<|endoftext|>")
    messages = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
    assert theirs.apply_chat_template(messages, tokenize=False) == ours.render(messages)


def test_numbers_become_single_digits(tmp_path: Path) -> None:
    run(tmp_path, tiny.passages()).here()
    template = load_template(tmp_path / "run/out/model")
    assert len(template.encode_text("2024")) == 4
    assert len(template.encode_text("<|im_start|>")) == 1


def test_datasets_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text"):
        run(tmp_path, [{"id": "1"}]).here()

"""Folders with tokenizer.model only (InternLM2, first Llamas; S8.5): imported with the same tokens, or refused."""

import json
import struct
from pathlib import Path

import pytest

from tests.workers.models.test_program import folder_inputs, import_spec
from tests.workers.models.tiny import run_program, write_model
from workers.models.sentence_pieces import BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, USER, convert
from workers.spec.errors import UserError

MERGED = ["ab", "abc", f"{SPACE}a", "bc", "cd", "abcd"]
"""From the likeliest to the least likely."""
LETTERS = [SPACE, "a", "b", "c", "d"]


def field(number: int, value: int | float | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, int):
        return bytes([number << 3]) + size(value)
    return bytes([number << 3 | 2]) + size(len(value)) + value


def size(value: int) -> bytes:
    head, rest = value & 127, value >> 7
    return bytes([head | 128]) + size(rest) if rest else bytes([head])


def model(
    folder: Path, *, kind: int = 2, adds_space: bool = True, squeezes: bool = False, table: bytes = b"", own: str = "<x>"
) -> Path:
    """A tokenizer.model with control tokens, all bytes, and a few pieces."""
    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), (own, 0.0, USER)]
    pieces += [(f"<0x{number:02X}>", 0.0, BYTE) for number in range(256)]
    pieces += [(text, -float(number), NORMAL) for number, text in enumerate([*MERGED, *LETTERS])]
    content = b"".join(field(1, field(1, text.encode()) + field(2, score) + field(3, what)) for text, score, what in pieces)
    content += field(2, field(3, kind)) + field(3, field(2, table) + field(3, int(adds_space)) + field(4, int(squeezes)))
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(content)
    return folder


def tokens(folder: Path, text: str) -> list[str]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text
    return list(encoded.tokens)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("abcd", [SPACE, "abcd"]),  # ab first, then abc, then abcd
        ("a bcd", [f"{SPACE}a", SPACE, "bc", "d"]),
        ("b  d", [SPACE, "b", SPACE, SPACE, "d"]),
        ("dé", [SPACE, "d", "<0xC3>", "<0xA9>"]),
        ("a<x>b", [f"{SPACE}a", "<x>", SPACE, "b"]),
    ],
)
def test_pieces_are_joined_by_their_scores(tmp_path: Path, text: str, wanted: list[str]) -> None:
    folder = model(tmp_path / "tokenizer")
    convert(folder)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode(text, add_special_tokens=False)
    assert encoded.tokens == wanted
    assert [tokenizer.token_to_id(token) for token in ("<unk>", "<s>", "</s>", "<x>", "abcd")] == [0, 1, 2, 3, 265]
    if "<" not in text:
        assert tokenizer.decode(encoded.ids) == text


def test_no_space_is_added_where_the_model_adds_none(tmp_path: Path) -> None:
    folder = model(tmp_path / "tokenizer", adds_space=False)
    convert(folder)
    assert tokens(folder, "abc d") == ["abc", SPACE, "d"]


@pytest.mark.parametrize("how", [{"kind": 1}, {"squeezes": True}, {"table": b"x"}, {"own": f"{SPACE}{SPACE}"}])
def test_what_would_give_other_tokens_is_refused(tmp_path: Path, how: dict) -> None:
    folder = model(tmp_path / "tokenizer", **how)
    with pytest.raises(UserError, match="no BPE that leaves the text as it is"):
        convert(folder)
    assert not (folder / "tokenizer.json").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"plain text", b"\x0a\x02\x0a\xff"]
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        convert(tmp_path)


def test_a_newer_tokenizer_is_kept(tmp_path: Path) -> None:
    folder = model(tmp_path / "tokenizer")
    (folder / "tokenizer.json").write_text("{}")
    convert(folder)
    assert (folder / "tokenizer.json").read_text() == "{}"


def test_a_folder_with_nothing_newer_is_imported(tmp_path: Path) -> None:
    source = write_model(tmp_path / "in" / "old")
    (source / "tokenizer.json").unlink()
    model(source)
    config = json.loads((source / "tokenizer_config.json").read_text())
    names = {"eos_token": "</s>", "bos_token": "<s>", "pad_token": "</s>"}
    (source / "tokenizer_config.json").write_text(json.dumps(config | names))
    code, result, _ = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert code == 0, result
    assert result["facts"]["vocabulary"] >= 271
    assert (tmp_path / "output" / "model" / "tokenizer.json").is_file()

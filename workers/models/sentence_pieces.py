"""tokenizer.json from a SentencePiece tokenizer.model, for folders that hold nothing newer (InternLM2, first Llamas).

Read without SentencePiece: the file is one protocol buffer (google/sentencepiece, sentencepiece_model.proto) of which the
pieces, the kind of model and the treatment of spaces matter. BPE with byte fallback becomes an equal BPE of tokenizers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from workers.spec.errors import UserError

SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of pieces."""
BPE_MODEL = 2
Value = int | bytes


@dataclass
class Pieces:
    """`pieces`: (text, score, kind) by token id."""

    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    model: int = 1
    adds_space: bool = True
    squeezes_spaces: bool = True
    normaliser: bytes = b""


def convert(folder: Path) -> None:
    """Write tokenizer.json beside the tokenizer.model of `folder`, where there is none yet."""
    source, target = folder / "tokenizer.model", folder / "tokenizer.json"
    if target.exists() or not source.is_file():
        return
    try:
        found = read(source.read_bytes())
    except (ValueError, IndexError, struct.error) as error:
        raise _refused(folder) from error
    cuts_spaces = not any(kind == USER and SPACE in text for text, _, kind in found.pieces)
    if found.model != BPE_MODEL or found.normaliser or found.squeezes_spaces or not cuts_spaces or not found.pieces:
        raise _refused(folder)
    made(found).save(str(target))


def _refused(folder: Path) -> UserError:
    return UserError(
        "model.odd_tokenizer_model",
        "The tokenizer.model of {folder} cannot be turned into a tokenizer.json: it is damaged, or it is no BPE that leaves "
        "the text as it is. Save the tokenizer in the fast format and import again.",
        folder=folder.name,
    )


def made(found: Pieces) -> Tokenizer:
    """The same tokens with the same ids."""
    vocabulary = {text: number for number, (text, _, _) in enumerate(found.pieces)}
    unknown = next((text for text, _, kind in found.pieces if kind == UNKNOWN), None)
    bytes_known = any(kind == BYTE for _, _, kind in found.pieces)
    model = BPE(vocabulary, _merges(found), unk_token=unknown, fuse_unk=True, byte_fallback=bytes_known)
    tokenizer = Tokenizer(model)
    steps: list[Any] = [normalizers.Prepend(SPACE)] if found.adds_space else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    ends: list[Any] = [decoders.Strip(" ", 1, 0)] if found.adds_space else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    special = [text for text, _, kind in found.pieces if kind in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    own = [text for text, _, kind in found.pieces if kind == USER]
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in own])
    return tokenizer


def _merges(found: Pieces) -> list[tuple[str, str]]:
    """SentencePiece joins the neighbours whose union scores highest; tokenizers wants all such pairs in that order."""
    scores = {text: score for text, score, kind in found.pieces if kind == NORMAL}
    numbers = {text: number for number, text in enumerate(scores)}
    pairs = []
    for text, score in scores.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in scores and right in scores:
                pairs.append((-score, numbers[left], numbers[right], left, right))
    return [(left, right) for *_, left, right in sorted(pairs)]


# The protocol buffer


def read(content: bytes) -> Pieces:
    """Fields of ModelProto: 1 pieces (1 text, 2 score, 3 kind), 2 trainer (3 model type), 3 normaliser (see `_normaliser`)."""
    found = Pieces()
    for number, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            inside = dict(_fields(value))
            score = struct.unpack("<f", inside[2])[0] if isinstance(inside.get(2), bytes) else 0.0
            found.pieces.append((_bytes(inside.get(1)).decode("utf-8"), score, int(inside.get(3) or NORMAL)))
        elif number == 2:
            found.model = int(dict(_fields(value)).get(3, 1))
        elif number == 3:
            _normaliser(found, dict(_fields(value)))
    return found


def _normaliser(found: Pieces, inside: dict[int, Value]) -> None:
    """2 compiled table of replacements, 3 a space is put before the text, 4 runs of spaces become one."""
    found.normaliser = _bytes(inside.get(2))
    found.adds_space, found.squeezes_spaces = bool(inside.get(3, 1)), bool(inside.get(4, 1))


def _bytes(value: Value | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _fields(content: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field: whole numbers as int, everything else as bytes."""
    place = 0
    while place < len(content):
        key, place = _number(content, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(content, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _number(content, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field of kind {kind}")
        if place + size > len(content):
            raise ValueError("the file ends too early")
        yield key >> 3, content[place : place + size]
        place += size


def _number(content: bytes, place: int) -> tuple[int, int]:
    """(number in seven-bit groups, lowest first, where it ends)."""
    value, shift = 0, 0
    while True:
        part = content[place]
        value |= (part & 127) << shift
        place += 1
        if part < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("too long a number")

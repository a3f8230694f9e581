"""The bytes of every token, read from tokenizer.json, and their spelling in GPT-2's byte alphabet.

The engine is fed token ids and never tokenises; it needs the vocabulary only for grammars, which must know which
bytes a token stands for. SentencePiece-like vocabularies (▁ for a space, <0x0A> for a byte) are therefore respelled.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from workers.engine.checkpoint import read_json

NORMAL, CONTROL, UNUSED = 1, 3, 5
BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_alphabet() -> dict[int, str]:
    """GPT-2's reversible alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


def spell(raw: bytes) -> str:
    return "".join(byte_alphabet()[byte] for byte in raw)


class Vocabulary:
    """Tokens in id order with their types, and the merges, all in the byte alphabet."""

    def __init__(self, folder: Path, size: int) -> None:
        content = read_json(folder / "tokenizer.json")
        self.byte_level = _is_byte_level(content)
        self.tokens = [f"[unused{index}]" for index in range(size)]
        self.types = [UNUSED] * size
        for piece, index in _pieces(content["model"]):
            if index < size:
                self.tokens[index] = self._respell(piece)
                self.types[index] = NORMAL
        for token in content.get("added_tokens", []):
            if token["id"] < size:
                self.tokens[token["id"]] = token["content"]
                self.types[token["id"]] = CONTROL if token.get("special") else NORMAL
        pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in content["model"].get("merges", []))
        self.merges = [f"{self._respell(left)} {self._respell(right)}" for left, right in pairs]

    def _respell(self, piece: str) -> str:
        if self.byte_level:
            return piece
        byte = BYTE_PIECE.fullmatch(piece)
        return spell(bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode())


def _pieces(model: dict[str, Any]) -> list[tuple[str, int]]:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return list(vocabulary.items())
    return [(entry[0], index) for index, entry in enumerate(vocabulary)]


def _is_byte_level(content: dict[str, Any]) -> bool:
    """Whether the decoder (or one of its steps) is ByteLevel, so that pieces are spelt in the byte alphabet already."""
    decoder = content.get("decoder") or {}
    steps = [decoder, *decoder.get("decoders", [])]
    return any(step.get("type") == "ByteLevel" for step in steps)

"""Writes the index of a version, a record at a time; it appears only when it is whole."""

import contextlib
import hashlib
import io
import json
import shutil
import uuid
from array import array
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from workers.data.index import facts
from workers.data.index.sketch import SketchBuilder
from workers.spec.filters import CATEGORIES, NUMBERS

FORMAT = 2
MAXIMUM_VALUES = 60_000
"""Distinct values of one facet that are told apart; those that come later count as `OTHER`."""
OTHER = 65_535
MAXIMUM_COMBINATIONS = 200_000
"""Combinations of facets that are remembered; a record with a later one is looked up facet by facet."""
BATCH = 1000
DIGESTS = "digests.bin"
"""The content digest of every record, DIGEST_BYTES each."""
DIGEST_BYTES = 32
TYPES = {"H": numpy.uint16, "I": numpy.uint32, "Q": numpy.uint64, "f": numpy.float32, "i": numpy.int32}


class IndexBuilder:
    """`add` every record in order, then `finish`; `discard` when it comes to nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        self._temporary.mkdir(parents=True)
        self._words = (self._temporary / "words.bin").open("wb")
        self._sketch = SketchBuilder()
        self._known: list[dict[str, int]] = [{"": 0} for _ in CATEGORIES]
        self._combinations: dict[tuple[str, ...], int] = {}
        """Records of equal facets share a number, so that each costs one look-up; `_codes` has the facets of every number."""
        self._codes: list[list[int]] = []
        self._combination = array("I")
        self._numbers: list[array[Any]] = [array(code) for code in NUMBERS.values()]
        self._waiting: list[list[float]] = []
        self._keys, self._digests, self._contents = array("Q"), array("Q"), array("Q")
        self._lines, self._texts = array("Q", [0]), array("Q", [0])
        self._whole_digests = bytearray()

    def add(self, data: dict[str, Any], size: int, digest: str, words: str, language: str) -> None:
        """A slim record, the bytes of its line, its content digest (hex), its words and its language."""
        text = words[: facts.TEXT_LIMIT].replace("\x00", "").lower().encode() + b"\x00"
        self._words.write(text)
        self._sketch.add(text)
        self._texts.append(self._texts[-1] + len(text))
        self._lines.append(self._lines[-1] + size)
        self._keys.append(hash_number(data["id"]))
        self._contents.append(hash_number(facts.content(data, words)))
        self._digests.append(int(digest[:16], 16))
        self._whole_digests += bytes.fromhex(digest)
        values = facts.categories(data, language)
        number = self._combinations.get(values)
        self._combination.append(self._new_combination(values) if number is None else number)
        self._waiting.append(facts.numbers(data, len(words), size))
        if len(self._waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        for column, values in zip(self._numbers, zip(*self._waiting, strict=True), strict=False):
            column.extend(values)
        self._waiting.clear()

    def _new_combination(self, values: tuple[str, ...]) -> int:
        self._codes.append([self._code(known, value) for known, value in zip(self._known, values, strict=True)])
        number = len(self._codes) - 1
        if number < MAXIMUM_COMBINATIONS:
            self._combinations[values] = number
        return number

    def _code(self, known: dict[str, int], value: str) -> int:
        value = value[: facts.LONGEST_VALUE]
        if value not in known:
            if len(known) >= MAXIMUM_VALUES:
                return OTHER
            known[value] = len(known)
        return known[value]

    def finish(self) -> Path:
        """The finished folder. Two builders of the same content may race; the first one's index stays."""
        self._words.close()
        self._flush()
        codes = numpy.array(self._codes, dtype=numpy.uint16).reshape(-1, len(CATEGORIES))
        combination = numpy.frombuffer(self._combination, dtype=numpy.uint32)
        for place, name in enumerate(CATEGORIES):
            _save(self._temporary / f"{name}.npy", codes[:, place][combination])
        columns: dict[str, array[Any]] = dict(zip(NUMBERS, self._numbers, strict=True))
        columns |= {
            "key": self._keys,
            "digest": self._digests,
            "content": self._contents,
            "lines": self._lines,
            "texts": self._texts,
        }
        for name, column in columns.items():
            _save(self._temporary / f"{name}.npy", numpy.frombuffer(column, dtype=TYPES[column.typecode]))
        (self._temporary / DIGESTS).write_bytes(self._whole_digests)
        for name, values in self._sketch.arrays().items():
            _save(self._temporary / f"{name}.npy", values)
        vocabulary = {name: list(known) for name, known in zip(CATEGORIES, self._known, strict=True)}
        head = {"format": FORMAT, "count": len(self._keys), "values": vocabulary}
        (self._temporary / "index.json").write_text(json.dumps(head, ensure_ascii=False), encoding="utf-8")
        try:
            self._temporary.rename(self.folder)
        except OSError:
            self.discard()
        return self.folder

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._words.close()
        shutil.rmtree(self._temporary, ignore_errors=True)


def _save(path: Path, column: NDArray[Any]) -> None:
    """As numpy.save, which does not say that it was the disk that is full."""
    content = io.BytesIO()
    numpy.save(content, column)
    path.write_bytes(content.getbuffer())


def hash_number(text: str) -> int:
    """64 bits of a text's hash."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

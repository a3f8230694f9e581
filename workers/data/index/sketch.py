"""Which portions of the words can hold a word at all: a Bloom filter of character sequences for each portion.

Every portion of about PORTION bytes sets a bit for each of its sequences of three and of six bytes and, between two
characters that are no ASCII, of nine; sequences begin where a character begins. A word can only stand where all bits of
its own sequences are set, so that a rare word, or one that is nowhere, is searched in a few portions of a million records.
"""

from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

PORTION = 1 << 16
BITS = 1 << 16
_SHIFT = numpy.uint32(16)
_FIRST, _SECOND, _THIRD = (numpy.uint32(factor) for factor in (2_654_435_761, 2_246_822_519, 3_266_489_917))
_TRANSPOSED_AT_ONCE = 1 << 12

Bytes = NDArray[numpy.uint8]


def sequences(text: bytes) -> NDArray[numpy.uint32]:
    """The bits that a text sets (or a word needs), below BITS."""
    raw = numpy.frombuffer(text, dtype=numpy.uint8)
    if len(raw) < 3:
        return numpy.empty(0, dtype=numpy.uint32)
    wide = raw.astype(numpy.uint32)
    threes = wide[:-2] | wide[1:-1] << numpy.uint32(8) | wide[2:] << _SHIFT
    begins = (raw & 0xC0) != 0x80  # where a character begins
    first, second, third = threes * _FIRST, threes * _SECOND, threes * _THIRD
    found = [first[begins[:-2]]]
    if len(raw) >= 6:
        six = first[:-3] * numpy.uint32(31) + second[3:]
        found.append(six[begins[:-5]])
        if len(raw) >= 9:
            nine = six[:-3] * numpy.uint32(31) + third[6:]
            found.append(nine[begins[:-8] & (raw[:-8] >= 0xE0) & (raw[6:-2] >= 0xE0)])
    return numpy.concatenate(found) >> _SHIFT


class SketchBuilder:
    """`add` the bytes of every record's words in order, then ask for the `arrays`."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = self._row = 0
        self._begins: list[int] = [0]
        self._portions: list[Bytes] = []

    def add(self, text: bytes) -> None:
        self._pieces.append(text)
        self._size += len(text)
        self._row += 1
        if self._size >= PORTION:
            self._close()

    def _close(self) -> None:
        marks = numpy.zeros(BITS, dtype=numpy.bool_)
        marks[sequences(b"".join(self._pieces))] = True
        self._portions.append(numpy.packbits(marks))
        self._begins.append(self._row)
        self._pieces.clear()
        self._size = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`portions`: the row with which each begins, and the number of rows; `sketch`: (bits, portions / 8)."""
        if self._pieces:
            self._close()
        count = len(self._portions)
        packed = numpy.array(self._portions, dtype=numpy.uint8).reshape(count, BITS // 8)
        sketch = numpy.empty((BITS, (count + 7) // 8), dtype=numpy.uint8)
        for start in range(0, BITS, _TRANSPOSED_AT_ONCE):  # a part at a time: unpacked it is eight times as large
            part = numpy.unpackbits(packed[:, start // 8 : (start + _TRANSPOSED_AT_ONCE) // 8], axis=1)
            sketch[start : start + _TRANSPOSED_AT_ONCE] = numpy.packbits(part.T, axis=1)
        return {"portions": numpy.array(self._begins, dtype=numpy.int64), "sketch": sketch}


class Sketch:
    """The sketch of a version; raises FileNotFoundError for an index of before there were any."""

    def __init__(self, folder: Path) -> None:
        self.begins: NDArray[numpy.int64] = numpy.load(folder / "portions.npy")
        self._bits: NDArray[Any] = numpy.load(folder / "sketch.npy", mmap_mode="r" if len(self.begins) > 1 else None)

    def stretches(self, words: list[bytes], start: int) -> list[tuple[int, int]]:
        """Runs of rows (first, end) from `start` on, ascending, outside which no row holds all of the words."""
        count = len(self.begins) - 1
        wanted = numpy.unique(numpy.concatenate([sequences(word) for word in words] or [sequences(b"")]))
        if not len(wanted):
            return [(start, int(self.begins[-1]))] if start < self.begins[-1] else []
        possible = numpy.unpackbits(numpy.bitwise_and.reduce(self._bits[wanted], axis=0), count=count)
        edges = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], possible.astype(numpy.int8), [0]])))
        runs = [(max(start, int(self.begins[a])), int(self.begins[b])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return [(first, end) for first, end in runs if first < end]

"""Full text: the words of all records lie in one file, in small letters, each record's ended by a NUL, and are scanned where
the sketch says that they may hold what is sought."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy
from numpy.typing import NDArray

from workers.data.index.sketch import Sketch

FIRST_BLOCK = 1 << 18
LARGEST_BLOCK = 1 << 22
FEW = 5000
"""Up to so many candidates are looked at one by one; more are found by scanning the file."""
Words = tuple[list[str], list[str]]


def matching_rows(
    path: Path, offsets: NDArray[Any], words: Words, mask: "NDArray[numpy.bool_] | None", start: int,
    sketch: Sketch | None = None,
) -> Iterator[list[int]]:  # fmt: skip
    """Portions of the rows from `start` on, ascending, that hold all wanted and no unwanted words."""
    wanted, unwanted = ([word.encode() for word in part] for part in words)
    if mask is not None:
        candidates = numpy.flatnonzero(mask[start:]) + start
        if len(candidates) <= FEW:
            yield from _one_by_one(path, offsets, wanted, unwanted, candidates.tolist())
            return
    stretches = sketch.stretches(wanted, start) if sketch else [(start, len(offsets) - 1)]
    yield from _blocks(path, offsets, wanted, unwanted, mask, stretches)


def _one_by_one(
    path: Path, offsets: NDArray[Any], wanted: list[bytes], unwanted: list[bytes], candidates: list[int]
) -> Iterator[list[int]]:
    with path.open("rb") as file:
        for row in candidates:
            begin, end = int(offsets[row]), int(offsets[row + 1])
            file.seek(begin)
            if _fits(file.read(end - begin), wanted, unwanted):
                yield [row]


def _blocks(
    path: Path,
    offsets: NDArray[Any],
    wanted: list[bytes],
    unwanted: list[bytes],
    mask: "NDArray[numpy.bool_] | None",
    stretches: list[tuple[int, int]],
) -> Iterator[list[int]]:
    size = FIRST_BLOCK
    with path.open("rb") as file:
        for first, last in stretches:
            row = first
            while row < last:
                begin = int(offsets[row])
                end = min(last, max(row + 1, int(numpy.searchsorted(offsets, begin + size, side="right")) - 1))
                found = _rows_of_block(file, offsets, (row, end), wanted, unwanted, mask)
                if found:
                    yield found
                row, size = end, min(2 * size, LARGEST_BLOCK)


def _rows_of_block(
    file: BinaryIO,
    offsets: NDArray[Any],
    rows: tuple[int, int],
    wanted: list[bytes],
    unwanted: list[bytes],
    mask: "NDArray[numpy.bool_] | None",
) -> list[int]:
    row, end = rows
    begin = int(offsets[row])
    file.seek(begin)
    block = file.read(int(offsets[end]) - begin)
    starts = (offsets[row : end + 1] - begin).astype(numpy.int64)
    longest = max(wanted, key=len) if wanted else b""
    hits = _rows_with(block, longest, starts) if wanted else numpy.arange(end - row)
    if mask is not None:
        hits = hits[mask[hits + row]]
    found = hits.tolist()
    if len(wanted) > 1 or unwanted:
        found = [each for each in found if _fits(block[starts[each] : starts[each + 1]], wanted, unwanted)]
    return [each + row for each in found]


def _rows_with(block: bytes, word: bytes, starts: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """Rows of the block, each once, in which the word occurs."""
    hits: list[int] = []
    position = block.find(word)
    while position >= 0:
        hits.append(position)
        position = block.find(word, position + len(word))
    return numpy.unique(numpy.searchsorted(starts, hits, side="right") - 1) if hits else numpy.empty(0, dtype=numpy.int64)


def _fits(text: bytes, wanted: list[bytes], unwanted: list[bytes]) -> bool:
    return all(word in text for word in wanted) and not any(word in text for word in unwanted)

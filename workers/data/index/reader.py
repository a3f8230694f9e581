"""Reads the index of a version: which records pass a filter, page by page, and how they are distributed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from workers.data.index.builder import FORMAT, hash_number
from workers.data.index.facts import NO_DATE
from workers.data.index.scanning import matching_rows
from workers.data.index.sketch import Sketch
from workers.spec.filters import CATEGORIES, NONE, NUMBERS, RecordFilter

Mask = NDArray[numpy.bool_]
LISTED_VALUES = 200


@dataclass(frozen=True)
class Found:
    """Positions of a page. Cursors are ranks after which a page begins (-1: the first); `total` and `start` are None for
    full text, which is searched only as far as the page needs."""

    positions: list[int]
    following: int | None
    previous: int | None = None
    last: int | None = None
    total: int | None = None
    start: int | None = None


class Index:
    """The arrays are mapped, so that a question touches only the columns that it asks for."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError or ValueError when there is none of this format."""
        self.folder = folder
        head = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise ValueError(f"index format {head['format']}")
        self.count: int = head["count"]
        self._values: dict[str, list[str]] = head["values"]
        self._columns: dict[str, NDArray[Any]] = {}
        self._orders: dict[str, NDArray[numpy.int64]] = {}

    def column(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            path = self.folder / f"{name}.npy"
            self._columns[name] = numpy.load(path, mmap_mode="r" if self.count else None)
        return self._columns[name]

    @cached_property
    def codes(self) -> dict[str, dict[str, int]]:
        """facet → value → the number that stands for it in the column."""
        return {name: {value: code for code, value in enumerate(values)} for name, values in self._values.items()}

    @cached_property
    def sketch(self) -> Sketch | None:
        """None in an index of before there were sketches: all words are looked at."""
        try:
            return Sketch(self.folder)
        except FileNotFoundError:
            return None

    def mask(self, wanted: RecordFilter) -> Mask | None:
        """Which records have the facets that are asked for; None: nothing is asked of them. Words are not looked at."""
        parts = [self._has_value(name, values) for name, values in wanted.values.items()]
        parts += [self._in_range(name, *bounds) for name, bounds in wanted.ranges.items()]
        if wanted.ids:
            parts.append(
                numpy.isin(self.column("key"), numpy.array([hash_number(key) for key in wanted.ids], dtype=numpy.uint64))
            )
        if wanted.positions is not None:
            picked = numpy.zeros(self.count, dtype=numpy.bool_)
            picked[[position for position in wanted.positions if 0 <= position < self.count]] = True
            parts.append(picked)
        return numpy.logical_and.reduce(parts) if parts else None

    def _has_value(self, name: str, values: list[str]) -> Mask:
        known = self.codes[name]
        codes = [known[value] for value in ("" if value == NONE else value for value in values) if value in known]
        column = self.column(name)
        return column == codes[0] if len(codes) == 1 else numpy.isin(column, codes)

    def _in_range(self, name: str, least: float | None, most: float | None) -> Mask:
        column = self.column(name)
        inside = column != NO_DATE if name == "date" else numpy.ones(self.count, dtype=numpy.bool_)
        if least is not None:
            inside &= column >= least
        if most is not None:
            inside &= column <= most
        return inside

    def order(self, sort: str) -> NDArray[numpy.int64]:
        """Positions in the order of a number (`-length`: the longest first), those without it last, ties as in the file."""
        if sort not in self._orders:
            values = self.column(sort.removeprefix("-")).astype(numpy.float64)
            values[values == NO_DATE] = numpy.nan
            self._orders[sort] = numpy.argsort(-values if sort.startswith("-") else values, kind="stable")
        return self._orders[sort]

    def page(self, wanted: RecordFilter, *, after: int = -1, limit: int = 50) -> Found:
        """The records with ranks above `after`, in the order that the filter names."""
        mask = self.mask(wanted)
        has_words = any(wanted.words)
        if has_words and not wanted.sort:
            return self._first_matches(wanted, mask, after, limit)
        if has_words:
            mask = self._matching(wanted, mask)
        if mask is None:
            return self._known_page(range(self.count), wanted.sort, after, limit)
        ranks = numpy.flatnonzero(mask[self.order(wanted.sort)] if wanted.sort else mask)
        return self._known_page(ranks, wanted.sort, after, limit)

    def _known_page(self, ranks: "NDArray[numpy.int64] | range", sort: str, after: int, limit: int) -> Found:
        total = len(ranks)
        start = min(after + 1, total) if isinstance(ranks, range) else int(numpy.searchsorted(ranks, after, side="right"))
        shown = [int(rank) for rank in ranks[start : start + limit]]
        previous = (int(ranks[start - limit - 1]) if start > limit else -1) if start else None
        end = (total - 1) // limit * limit
        more = start + limit < total
        positions = [int(self.order(sort)[rank]) for rank in shown] if sort else shown
        return Found(
            positions, shown[-1] if more else None, previous, int(ranks[end - 1]) if more and end else None, total, start
        )

    def _first_matches(self, wanted: RecordFilter, mask: Mask | None, after: int, limit: int) -> Found:
        positions: list[int] = []
        for rows in self._scan(wanted, mask, after + 1):
            positions += rows
            if len(positions) > limit:
                return Found(positions[:limit], positions[limit - 1], -1 if after >= 0 else None)
        return Found(positions, None, -1 if after >= 0 else None)

    def _scan(self, wanted: RecordFilter, mask: Mask | None, start: int = 0) -> Iterator[list[int]]:
        return matching_rows(self.folder / "words.bin", self.column("texts"), wanted.words, mask, start, self.sketch)

    def _matching(self, wanted: RecordFilter, mask: Mask | None) -> Mask:
        matching = numpy.zeros(self.count, dtype=numpy.bool_)
        for rows in self._scan(wanted, mask):
            matching[rows] = True
        return matching

    def select(self, wanted: RecordFilter) -> Mask:
        """Every record that passes, words and all."""
        mask = self.mask(wanted)
        if any(wanted.words):
            return self._matching(wanted, mask)
        return numpy.ones(self.count, dtype=numpy.bool_) if mask is None else mask

    def neighbours(self, wanted: RecordFilter, position: int) -> "tuple[int | None, int | None, int, int] | None":
        """The records before and after one in what a filter chooses, its number there (from 1), and how many there are.

        None when the filter does not choose it.
        """
        chosen = self.select(wanted)
        if not 0 <= position < self.count or not chosen[position]:
            return None
        order = self.order(wanted.sort) if wanted.sort else numpy.arange(self.count)
        places = order[chosen[order]]
        at = int(numpy.flatnonzero(places == position)[0])
        before = int(places[at - 1]) if at else None
        after = int(places[at + 1]) if at + 1 < len(places) else None
        return before, after, at + 1, len(places)

    def facets(self, mask: Mask | None = None) -> dict[str, dict[str, list[int]]]:
        """facet → value → [records, bytes], the most frequent first; the empty value: records that have none."""
        return {name: self.distribution(name, mask) for name in CATEGORIES}

    def distribution(self, name: str, mask: Mask | None = None) -> dict[str, list[int]]:
        codes, sizes = self.column(name), self.column("bytes")
        if mask is not None:
            codes, sizes = codes[mask], sizes[mask]
        values = self._values[name]
        counts = numpy.bincount(codes, minlength=len(values))[: len(values)]
        sums = numpy.bincount(codes, weights=sizes, minlength=len(values))[: len(values)]
        frequent = sorted(numpy.flatnonzero(counts), key=lambda code: (-counts[code], code))[:LISTED_VALUES]
        return {values[code]: [int(counts[code]), int(sums[code])] for code in frequent}

    def ranges(self) -> dict[str, list[float]]:
        """number → [least, most] over the records that have it."""
        found = {}
        for name in NUMBERS:
            column = self.column(name)
            known = column[column != NO_DATE] if name == "date" else column[~numpy.isnan(column)]
            if len(known):
                found[name] = [round(float(known.min()), 4), round(float(known.max()), 4)]
        return found

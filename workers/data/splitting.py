"""Which part of a split every record goes to: seeded, the same on every machine, and without leaks.

Records of the same content stay together, whatever their ids, labels and facets: the unit that is drawn is the content.
"""

import hashlib

import numpy
from numpy.typing import NDArray

from workers.data.index.reader import Index
from workers.spec.deriving import Split
from workers.spec.errors import UserError
from workers.spec.filters import CATEGORIES, NONE

LEFT_OUT = -1


def assign(index: Index, split: Split) -> NDArray[numpy.int64]:
    """The number of every record's part; LEFT_OUT when its facet names none. Raises UserError when a part gets nothing."""
    for name in (split.facet, split.stratify):
        if name and name not in CATEGORIES:
            raise UserError("dataset.unknown_facet", "There is no facet “{name}”; choose another.", status=422, name=name)
    targets = _by_value(index, split) if split.facet else _by_share(index, split)
    sizes = numpy.bincount(targets[targets >= 0], minlength=len(split.parts))
    for part, size in zip(split.parts, sizes, strict=True):
        if not size:
            raise UserError(
                "dataset.split_too_small",
                "The part “{part}” would be empty: {count} records cannot be split so; choose other shares.",
                status=422,
                part=part.name,
                count=index.count,
            )
    return targets


def _by_value(index: Index, split: Split) -> NDArray[numpy.int64]:
    codes, column = index.codes[split.facet], index.column(split.facet)
    targets = numpy.full(index.count, LEFT_OUT, dtype=numpy.int64)
    for number, part in enumerate(split.parts):
        value = part.name if part.value is None else part.value
        code = codes.get("" if value == NONE else value)
        if code is not None:
            targets[column == code] = number
    return targets


def _by_share(index: Index, split: Split) -> NDArray[numpy.int64]:
    """Contents in a seeded order, one stratum after the other; of every run of them each part takes its share.

    So each stratum and the whole get their shares to within one content.
    """
    shares = _shares(split)
    _contents, first, back = numpy.unique(index.column("content"), return_index=True, return_inverse=True)
    ranks = _shuffled(index.column("content")[first], split.seed)
    strata = index.column(split.stratify)[first] if split.stratify else numpy.zeros(len(first), dtype=numpy.uint16)
    order = numpy.lexsort((ranks, strata))
    parts = numpy.zeros(len(order), dtype=numpy.int64)
    left, remaining = order, 1.0
    for number in range(len(shares) - 1, 0, -1):
        share = shares[number] / remaining
        ends = numpy.floor(share * numpy.arange(1, len(left) + 1) + 0.5)
        taken = numpy.diff(ends, prepend=0.0) > 0
        parts[left[taken]] = number
        left, remaining = left[~taken], remaining - shares[number]
    return parts[back.reshape(-1)]


def _shares(split: Split) -> list[float]:
    shares = [part.share or 0.0 for part in split.parts]
    if abs(sum(shares) - 1) > 1e-6 or min(shares) <= 0:
        raise UserError(
            "dataset.bad_shares", "The shares must each be more than 0 % and together 100 %; correct them.", status=422
        )
    return shares


def _shuffled(contents: NDArray[numpy.uint64], seed: int) -> NDArray[numpy.uint64]:
    """A number per content that looks random and depends on the seed: the finalizer of SplitMix64 (Steele and others, 2014)."""
    offset = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big")
    mixed = contents + numpy.uint64(offset)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> numpy.uint64(shift))) * numpy.uint64(factor)
    return mixed ^ (mixed >> numpy.uint64(31))

"""What differs between two versions: records by their id, equal when they say the same."""

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from workers.data.index.reader import Index

Positions = NDArray[numpy.int64]


@dataclass(frozen=True)
class Comparison:
    """Positions in file order: `added` in the newer version, `removed` in the older, `changed` as pairs (older, newer)."""

    added: Positions
    removed: Positions
    changed: NDArray[Any]
    same: int

    @property
    def counts(self) -> dict[str, int]:
        return {"changed": len(self.changed), "added": len(self.added), "removed": len(self.removed), "same": self.same}


def compare(older: Index, newer: Index) -> Comparison:
    old_keys, new_keys = older.column("key"), newer.column("key")
    _both, old_at, new_at = numpy.intersect1d(old_keys, new_keys, assume_unique=True, return_indices=True)
    differs = older.column("digest")[old_at] != newer.column("digest")[new_at]
    changed = numpy.stack([old_at[differs], new_at[differs]], axis=1)
    return Comparison(
        added=_others(len(new_keys), new_at),
        removed=_others(len(old_keys), old_at),
        changed=changed[numpy.argsort(changed[:, 1], kind="stable")],
        same=int(len(old_at) - len(changed)),
    )


def _others(count: int, positions: Positions) -> Positions:
    left = numpy.ones(count, dtype=numpy.bool_)
    left[positions] = False
    return numpy.flatnonzero(left)

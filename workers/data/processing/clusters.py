"""Groups of records that are one: locality-sensitive hashing finds candidates, a measure decides, union-find joins them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
"""How many leaders a bucket of one band may have; the other bands see its members again."""
Indices = NDArray[np.int64]
Measure = Callable[[Indices, Indices], NDArray[np.float32]]


class Groups:
    """Union-find whose root is always the smallest member."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count, dtype=np.int64)

    def roots(self) -> Indices:
        """The root of every member; paths are shortened on the way."""
        while True:
            above = self.parent[self.parent]
            if np.array_equal(above, self.parent):
                return self.parent
            self.parent = above

    def join(self, left: Indices, right: Indices) -> None:
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            first, second = self._root(one), self._root(other)
            if first != second:
                self.parent[max(first, second)] = min(first, second)

    def _root(self, member: int) -> int:
        parent = self.parent
        while (above := int(parent[member])) != member:
            parent[member] = parent[above]
            member = above
        return member


def join_bucket_mates(groups: Groups, keys: NDArray[np.uint64], members: Indices, measure: Measure, threshold: float) -> None:
    """Join members with equal keys whose measured similarity reaches the threshold.

    In each bucket the first member is compared with all others; those that are no kin of it form the next, smaller bucket.
    """
    order = np.argsort(keys, kind="stable")
    keys, members = keys[order], members[order]
    for _ in range(ROUNDS):
        alone = np.ones(len(keys), dtype=bool)
        alone[1:] &= keys[1:] != keys[:-1]
        alone[:-1] &= keys[:-1] != keys[1:]
        keys, members = keys[~alone], members[~alone]
        if not len(keys):
            return
        begins = np.concatenate(([True], keys[1:] != keys[:-1]))
        leader = members[np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))]
        roots = groups.roots()
        kin = roots[leader] == roots[members]
        open_pairs = np.flatnonzero(~kin)
        alike = measure(leader[open_pairs], members[open_pairs]) >= threshold
        found = open_pairs[alike]
        groups.join(leader[found], members[found])
        left = open_pairs[~alike]
        keys, members = keys[left], members[left]


def bands_for(threshold: float, permutations: int, recall: float = 0.99) -> tuple[int, int]:
    """(bands, rows): the longest rows with which a pair at the threshold is still found with probability `recall`.

    1 − (1 − tʳ)ᵇ, Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= recall:
            return bands, rows
    return permutations, 1

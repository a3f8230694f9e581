"""MinHash signatures (Broder 1997) over token n-grams, and groups of records whose Jaccard similarity reaches a threshold."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from workers.data.processing import grams
from workers.data.processing.clusters import Groups, Indices, bands_for, join_bucket_mates

Signatures = NDArray[np.uint32]
_BLOCK = 1 << 15
_MARGIN = 0.15
"""Estimates below the threshold by more than this are believed; nearer ones are counted exactly (σ of 128 hashes: 0.035)."""
_PAIRS = 1 << 16


def _factors(permutations: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    numbers = grams.mix(np.arange(1, 2 * permutations + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return numbers[:permutations] | np.uint64(1), numbers[permutations:]


def signatures(values: grams.Hashes, offsets: grams.Offsets, permutations: int, threads: int = 1) -> Signatures:
    """[texts, permutations]; a text without n-grams has only the largest number. Multiply-shift hashing (Dietzfelbinger 1997)."""
    made = np.full((len(offsets) - 1, permutations), np.iinfo(np.uint32).max, dtype=np.uint32)
    multipliers, summands = _factors(permutations)
    texts = np.flatnonzero(np.diff(offsets))
    cuts = np.searchsorted(offsets[texts], np.arange(0, int(offsets[-1]), _BLOCK))
    pieces = [part for part in np.split(texts, np.unique(cuts)[1:]) if len(part)]

    def fill(piece: NDArray[np.int64]) -> None:
        first, last = int(offsets[piece[0]]), int(offsets[piece[-1] + 1])
        block = values[first:last]
        starts = offsets[piece] - first
        for number in range(permutations):
            hashed = ((block * multipliers[number] + summands[number]) >> np.uint64(32)).astype(np.uint32)
            made[piece, number] = np.minimum.reduceat(hashed, starts)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(fill, pieces))
    return made


class NearDuplicates:
    """Collects records and groups them. `keys`: records with different keys are never duplicates (label, media)."""

    def __init__(self, ngram: int, permutations: int, threads: int = 1) -> None:
        self.ngram, self.permutations, self.threads = ngram, permutations, threads
        self._signatures: list[Signatures] = []
        self._values: list[grams.Hashes] = []
        self._counts: list[NDArray[np.int64]] = []

    def add(self, texts: Sequence[str]) -> None:
        """The next texts, a few thousand at a time."""
        tokens = grams.tokenise(texts)
        values, offsets, _first = grams.ngrams(tokens.hashes, tokens.offsets, self.ngram)
        self._signatures.append(signatures(values, offsets, self.permutations, self.threads))
        self._values.append(values)
        self._counts.append(np.diff(offsets))

    def groups(self, threshold: float, keys: NDArray[np.int64]) -> Groups:
        return _Search(self, threshold, keys).groups


class _Search:
    def __init__(self, found: NearDuplicates, threshold: float, keys: NDArray[np.int64]) -> None:
        self.signatures = np.concatenate(found._signatures)
        self.values = np.concatenate(found._values)
        counts = np.concatenate(found._counts)
        self.offsets = np.concatenate(([0], np.cumsum(counts)))
        self.threshold, self.keys = threshold, keys
        self.groups = Groups(len(counts))
        members = np.flatnonzero(counts).astype(np.int64)
        bands, rows = bands_for(threshold, found.permutations)
        salted = grams.mix(keys.astype(np.uint64) + np.uint64(1))
        for band in range(bands):
            part = self.signatures[members, band * rows : (band + 1) * rows].astype(np.uint64)
            bucket = grams.mix((grams.mix(part) * grams.powers(rows)).sum(axis=1, dtype=np.uint64) + salted[members])
            join_bucket_mates(self.groups, bucket, members, self.measure, threshold)

    def measure(self, left: Indices, right: Indices) -> NDArray[np.float32]:
        """Jaccard similarity of pairs: estimated where that is enough, else counted."""
        alike = np.zeros(len(left), dtype=np.float32)
        for start in range(0, len(left), _PAIRS):
            part = slice(start, start + _PAIRS)
            alike[part] = (self.signatures[left[part]] == self.signatures[right[part]]).mean(axis=1)
        alike[self.keys[left] != self.keys[right]] = 0
        for pair in np.flatnonzero(alike >= self.threshold - _MARGIN):
            alike[pair] = self.jaccard(int(left[pair]), int(right[pair]))
        return alike

    def jaccard(self, one: int, other: int) -> float:
        first, second = self.distinct(one), self.distinct(other)
        places = np.minimum(np.searchsorted(second, first), len(second) - 1)
        shared = int((second[places] == first).sum())
        return shared / (len(first) + len(second) - shared)

    def distinct(self, index: int) -> grams.Hashes:
        return np.unique(self.values[self.offsets[index] : self.offsets[index + 1]])

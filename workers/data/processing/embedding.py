"""Vectors of texts without a neural model: TF-IDF of hashed character 3-grams, and groups of those that point the same way.

What makes it different from MinHash: frequent n-grams count little, rare ones much, and order does not matter. It knows
nothing of meaning: paraphrases in other words stay apart.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.data.processing import grams
from workers.data.processing.clusters import Groups, Indices, join_bucket_mates

DIMENSIONS = 384
_FEATURES = 1 << 20
_CHARACTERS = 8000
"""A text is judged by so many of its first characters."""
_ROWS = 16
_RECALL = 0.99
_PAIRS = 1 << 15
Vectors = NDArray[np.float32]
Batches = Callable[[], Iterator[list[str]]]


def _features(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """(text, feature, count) of every character 3-gram that a text has; runs of spaces are one."""
    folded = [" " + " ".join(grams.fold(text[:_CHARACTERS]).split()) + " " for text in texts]
    codes = np.frombuffer("".join(folded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, folded), dtype=np.int64, count=len(folded))
    owner = np.repeat(np.arange(len(folded)), lengths)
    powers = grams.powers(4)
    values = codes[:-2] * powers[1] + codes[1:-1] * powers[2] + codes[2:] * powers[3]
    whole = owner[:-2] == owner[2:]
    feature = (grams.mix(values[whole]) % np.uint64(_FEATURES)).astype(np.int64)
    pairs, counts = np.unique(owner[:-2][whole] * _FEATURES + feature, return_counts=True)
    return pairs // _FEATURES, pairs % _FEATURES, counts.astype(np.float32)


def vectors(batches: Batches, count: int) -> Vectors:
    """[count, DIMENSIONS], of length 1 (0 for a text without characters). Reads the texts twice: frequencies, then vectors."""
    frequency = np.zeros(_FEATURES, dtype=np.int64)
    for texts in batches():
        frequency += np.bincount(_features(texts)[1], minlength=_FEATURES)
    rarity = np.log((1 + count) / (1 + frequency)).astype(np.float32) + 1
    spread = grams.mix(np.arange(_FEATURES, dtype=np.uint64) + np.uint64(1))
    column = (spread % np.uint64(DIMENSIONS)).astype(np.int64)
    sign = np.where(spread >> np.uint64(63), np.float32(1), np.float32(-1))
    made, done = np.zeros((count, DIMENSIONS), dtype=np.float32), 0
    for texts in batches():
        owner, feature, occurrences = _features(texts)
        weight = (1 + np.log(occurrences)) * rarity[feature] * sign[feature]
        summed = np.bincount(owner * DIMENSIONS + column[feature], weights=weight, minlength=len(texts) * DIMENSIONS)
        made[done : done + len(texts)] = summed.reshape(len(texts), DIMENSIONS)
        done += len(texts)
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return made / np.where(lengths > 0, lengths, 1)


def group(points: Vectors, threshold: float, keys: NDArray[np.int64]) -> Groups:
    """Groups by cosine; candidates share the signs of 16 random projections (Charikar 2002) in one of enough bands."""
    groups = Groups(len(points))
    members = np.flatnonzero(points.any(axis=1)).astype(np.int64)
    agree = 1 - np.arccos(min(threshold, 1.0)) / np.pi
    bands = int(np.ceil(np.log(1 - _RECALL) / np.log(1 - min(agree**_ROWS, 1 - 1e-9))))
    salted = grams.mix(keys.astype(np.uint64) + np.uint64(1))[members]
    chance = np.random.Generator(np.random.PCG64(20_260_101))

    def measure(left: Indices, right: Indices) -> NDArray[np.float32]:
        alike = np.zeros(len(left), dtype=np.float32)
        for start in range(0, len(left), _PAIRS):
            part = slice(start, start + _PAIRS)
            alike[part] = np.einsum("ij,ij->i", points[left[part]], points[right[part]])
        alike[keys[left] != keys[right]] = 0
        return alike

    # Rounding differs between machines in the last digits; a cosine that near the threshold counts as reaching it.
    for _ in range(max(1, bands)):
        planes = chance.standard_normal((DIMENSIONS, _ROWS)).astype(np.float32)
        bits = (points[members] @ planes) > 0
        bucket = grams.mix((bits * (1 << np.arange(_ROWS))).sum(axis=1).astype(np.uint64) + salted)
        join_bucket_mates(groups, bucket, members, measure, threshold - 1e-4)
    return groups

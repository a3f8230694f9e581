"""Sets documents aside to measure the loss on what was not learnt; equal documents fall on the same side."""

import hashlib
from collections.abc import Iterable

import numpy as np

from workers.train.packing import Documents

FEWEST = 20
"""Distinct documents below which nothing is set aside."""
MOST_TOKENS = 16_384
"""A held-out set that is looked at often need not be larger."""


def split(documents: Documents, fraction: float, seed: int) -> tuple[Documents, Documents]:
    """(learnt, held out). The choice depends on each document's content and the seed only, not on the order of rows."""
    contents = (documents.tokens[documents.starts[index] : documents.starts[index + 1]] for index in range(len(documents)))
    aside = choose(contents, documents.lengths, fraction, seed)
    return documents.select(np.flatnonzero(~aside)), documents.select(np.flatnonzero(aside))


def choose(contents: Iterable[np.ndarray], lengths: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which units are set aside. `contents`: what makes two units equal; `lengths`: tokens of each."""
    nothing = np.zeros(len(lengths), dtype=bool)
    if fraction <= 0 or len(lengths) < FEWEST:
        return nothing
    keys = _keys(contents, len(lengths), seed)
    distinct = np.unique(keys)
    if len(distinct) < FEWEST:
        return nothing
    wanted = max(1, round(fraction * len(distinct)))
    tokens: dict[int, int] = {}
    for key, length in zip(keys.tolist(), lengths.tolist(), strict=True):
        tokens[key] = tokens.get(key, 0) + length
    limit, filled, aside = min(MOST_TOKENS, int(0.2 * lengths.sum())), 0, set()
    for key in distinct[:wanted].tolist():
        filled += tokens[key]
        if aside and filled > limit:
            break
        aside.add(key)
    return np.isin(keys, np.fromiter(aside, dtype=np.uint64))


def _keys(contents: Iterable[np.ndarray], count: int, seed: int) -> np.ndarray:
    salt = seed.to_bytes(8, "little", signed=True)
    keys = np.empty(count, dtype=np.uint64)
    for index, content in enumerate(contents):
        keys[index] = int.from_bytes(hashlib.blake2b(content.tobytes(), digest_size=8, key=salt).digest(), "little")
    return keys

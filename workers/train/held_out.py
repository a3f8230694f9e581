"""Sets documents aside to measure the loss on what was not learnt; equal documents fall on the same side."""

import hashlib

import numpy as np

from workers.train.packing import Documents

FEWEST = 20
"""Distinct documents below which nothing is set aside."""
MOST_TOKENS = 16_384
"""A held-out set that is looked at often need not be larger."""


def split(documents: Documents, fraction: float, seed: int) -> tuple[Documents, Documents]:
    """(learnt, held out). The choice depends on each document's content and the seed only, not on the order of rows."""
    nothing = documents.select(np.zeros(0, dtype=np.int64))
    if fraction <= 0 or len(documents) < FEWEST:
        return documents, nothing
    keys = _keys(documents, seed)
    distinct = np.unique(keys)
    if len(distinct) < FEWEST:
        return documents, nothing
    wanted = max(1, round(fraction * len(distinct)))
    lengths: dict[int, int] = {}
    for key, length in zip(keys.tolist(), documents.lengths.tolist(), strict=True):
        lengths[key] = lengths.get(key, 0) + length
    limit, filled, aside = min(MOST_TOKENS, int(0.2 * documents.lengths.sum())), 0, set()
    for key in distinct[:wanted].tolist():
        filled += lengths[key]
        if aside and filled > limit:
            break
        aside.add(key)
    held = np.isin(keys, np.fromiter(aside, dtype=np.uint64))
    return documents.select(np.flatnonzero(~held)), documents.select(np.flatnonzero(held))


def _keys(documents: Documents, seed: int) -> np.ndarray:
    salt = seed.to_bytes(8, "little", signed=True)
    keys = np.empty(len(documents), dtype=np.uint64)
    for index in range(len(documents)):
        content = documents.tokens[documents.starts[index] : documents.starts[index + 1]].tobytes()
        keys[index] = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=salt).digest(), "little")
    return keys

"""Documents as flat token arrays, shuffled first and then packed into steps of about equal token counts.

A document never leaves its own attention (see attention.py), so packing changes the speed and not what is learnt.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EVENED = 4
"""Most micro-batches of a step that are made about equal."""


@dataclass(frozen=True)
class Documents:
    """`tokens`: all documents one after another; `starts`: where each begins, and the end; `learnt`: which are learnt."""

    tokens: np.ndarray
    starts: np.ndarray
    learnt: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[tuple[list[int], list[bool] | None]]) -> "Documents":
        """From (token ids, mask of learnt tokens or None for all)."""
        tokens: list[np.ndarray] = []
        learnt: list[np.ndarray] = []
        for ids, mask in rows:
            tokens.append(np.asarray(ids, dtype=np.int32))
            learnt.append(np.ones(len(ids), dtype=bool) if mask is None else np.asarray(mask, dtype=bool))
        starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
        if not tokens:
            return cls(np.zeros(0, dtype=np.int32), starts, np.zeros(0, dtype=bool))
        return cls(np.concatenate(tokens), starts, np.concatenate(learnt))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def supervised(self) -> np.ndarray:
        """Learnt tokens of each document; the first token has nothing before it and is never predicted."""
        counts = np.concatenate([[0], np.cumsum(self.learnt)])
        first = self.learnt[self.starts[:-1]].astype(np.int64)
        return counts[self.starts[1:]] - counts[self.starts[:-1]] - first

    def places(self) -> np.ndarray:
        """The document of each learnt token that has something before it."""
        predicted = self.learnt.copy()
        predicted[self.starts[:-1]] = False
        return np.searchsorted(self.starts, np.flatnonzero(predicted), side="right") - 1

    def select(self, indices: np.ndarray) -> "Documents":
        pieces = [slice(self.starts[index], self.starts[index + 1]) for index in indices]
        return Documents(
            np.concatenate([self.tokens[piece] for piece in pieces] or [self.tokens[:0]]),
            np.concatenate([[0], np.cumsum(self.lengths[indices])]).astype(np.int64),
            np.concatenate([self.learnt[piece] for piece in pieces] or [self.learnt[:0]]),
        )


class StepPlan:
    """Which units each step learns: a pure function of (seed, step), so that a resumed run sees the same ones."""

    def __init__(self, lengths: np.ndarray, tokens_per_step: int, seed: int) -> None:
        self._lengths = lengths
        total = int(lengths.sum())
        self.steps_per_epoch = max(1, min(round(total / tokens_per_step), len(lengths)))
        self._seed = seed
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)
        self._cuts = np.zeros(0, dtype=np.int64)

    def units_of(self, step: int) -> np.ndarray:
        """Indices of the units of `step` (0, 1, …), in the order in which they are packed."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._deal(epoch)
        return self._order[self._cuts[position] : self._cuts[position + 1]]

    def _deal(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._lengths))
        ends = np.cumsum(self._lengths[self._order])
        targets = ends[-1] * np.arange(1, self.steps_per_epoch) / self.steps_per_epoch
        inner = np.searchsorted(ends, targets) + 1
        # Every step gets at least one unit, also where one unit is longer than a step.
        floor = np.arange(1, self.steps_per_epoch)
        inner = np.minimum(np.maximum(inner, floor), len(self._order) - floor[::-1])
        self._cuts = np.maximum.accumulate(np.concatenate([[0], inner, [len(self._order)]]))


def split_by_tokens(indices: np.ndarray, lengths: np.ndarray, limit: int) -> list[np.ndarray]:
    """Cut a step into micro-batches of at most `limit` tokens (a longer document stands alone).

    As few as that allows; where they are only a few, about equal ones, because a small rest costs more than its share.
    """
    groups = _filled(indices, lengths, limit)
    if 1 < len(groups) <= EVENED:
        low, high = int(lengths[indices].sum()) // len(groups), limit
        while low < high:
            middle = (low + high) // 2
            found = _filled(indices, lengths, middle)
            if len(found) == len(groups):
                groups, high = found, middle
            else:
                low = middle + 1
    return [np.asarray(group) for group in groups]


def _filled(indices: np.ndarray, lengths: np.ndarray, limit: int) -> list[list[int]]:
    groups: list[list[int]] = []
    filled = limit
    for index in indices:
        length = int(lengths[index])
        if filled + length > limit or not groups:
            groups.append([])
            filled = 0
        groups[-1].append(int(index))
        filled += length
    return groups

"""What a loop learns: units of data that are dealt to steps, and how a micro-batch of them adds gradients.

A new method is another class of this shape; the loop knows nothing of answers, pairs or rewards.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from workers.train.network import Network
from workers.train.packing import Documents, split_by_tokens

Figures = Counter
"""Sums over units; `loss` is always there. Each is divided by the weight of the step (or of the held-out set)."""


class Objective(Protocol):
    network: Network
    lengths: np.ndarray
    """Tokens of each unit that is learnt."""
    weights: np.ndarray
    """Share of each unit in a step's mean: supervised tokens, or 1 for a pair."""
    held_out: np.ndarray
    """Tokens of each unit that is set aside; empty when none is."""

    def sizes(self, chosen: np.ndarray) -> np.ndarray:
        """Tokens of every sequence of these units."""

    def supervised(self, chosen: np.ndarray) -> int:
        """Learnt tokens of these units."""

    def begin(self, step: int, chosen: np.ndarray) -> None:
        """Called once before the micro-batches of a step, with all units of it (in every process)."""

    def learn(self, units: np.ndarray, scale: float) -> Figures:
        """Add the gradients of `scale` × the summed loss of some units of the step."""

    def look(self, units: np.ndarray) -> tuple[Figures, float]:
        """(sums, weight) of some held-out units, without learning."""

    def names(self, held_out: bool) -> Sequence[str]:
        """Figures beside the loss, in a fixed order: every process must exchange the same ones."""

    def show(self, unit: int) -> str:
        """The beginning of a unit as text, to tell people which one it is."""


class Answers:
    """The summed loss of learnt tokens: pre-training and supervised fine-tuning."""

    def __init__(self, network: Network, documents: Documents, held_out: Documents, decode: Any) -> None:
        """`decode(ids)`: tokens as text."""
        self.network, self.documents, self.aside, self._decode = network, documents, held_out, decode
        self.lengths, self.weights = documents.lengths, documents.supervised()
        self.held_out = held_out.lengths

    def sizes(self, chosen: np.ndarray) -> np.ndarray:
        return self.lengths[chosen]

    def supervised(self, chosen: np.ndarray) -> int:
        return int(self.weights[chosen].sum())

    def begin(self, step: int, chosen: np.ndarray) -> None:
        return

    def learn(self, units: np.ndarray, scale: float) -> Figures:
        return Figures(loss=self.network.learn(self.documents, units, scale))

    def look(self, units: np.ndarray) -> tuple[Figures, float]:
        loss, count = self.network.loss_sum(self.aside, units)
        return Figures(loss=float(loss)), float(count)

    def names(self, held_out: bool) -> Sequence[str]:
        return ()

    def show(self, unit: int) -> str:
        return shown(self.documents, unit, self._decode)


def shown(documents: Documents, index: int, decode: Any) -> str:
    start, end = documents.starts[index], documents.starts[index + 1]
    return str(decode(documents.tokens[start : min(end, start + 60)].tolist()))[:120]


def micro_batches(units: np.ndarray, lengths: np.ndarray, limit: int, at_least: int = 0) -> list[np.ndarray]:
    """Cut units into micro-batches of at most `limit` tokens; empty ones are added until there are `at_least` so many."""
    cut = split_by_tokens(units, lengths, limit) if len(units) else []
    return cut + [units[:0]] * (at_least - len(cut))

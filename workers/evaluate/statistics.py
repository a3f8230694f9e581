"""Intervals and tests for scores. numpy only: the web imports it for its leaderboards.

Formulas: Wilson (1927) score interval; McNemar's test in its exact binomial form; the paired bootstrap of Efron (1979) with
percentile interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Z_95 = 1.959963984540054
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Difference:
    """Mean of b minus mean of a over the same questions, its interval, and the two-sided p of «no difference»."""

    difference: float
    low: float
    high: float
    p: float
    n: int


def wilson(correct: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Interval of a proportion `correct / n`; (0, 1) when nothing was asked."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return (0.0 if correct == 0 else max(0.0, low)), (1.0 if correct == n else min(1.0, high))


def mean_interval(scores: Sequence[float], z: float = Z_95) -> tuple[float, float]:
    """Interval of a mean score: Wilson where every score is 0 or 1, else mean ± z standard errors."""
    values = np.asarray(scores, dtype=float)
    if values.size == 0 or np.isin(values, (0.0, 1.0)).all():
        return wilson(float(values.sum()), values.size, z)
    error = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.inf
    middle = float(values.mean())
    return max(0.0, middle - z * error), min(1.0, middle + z * error)


def mcnemar(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Exact two-sided p that a and b are right equally often, from the questions on which just one of them is right."""
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_length(first, second)
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    return binomial_two_sided(min(only_first, only_second), only_first + only_second)


def binomial_two_sided(successes: int, trials: int) -> float:
    """Two-sided p of `successes` of `trials` under one half: twice the smaller tail, at most 1."""
    if trials == 0:
        return 1.0
    smaller = min(successes, trials - successes)
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) - trials * math.log(2)
        for k in range(smaller + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Bootstrap over questions, each resample taking both models' scores of the same questions.

    The p-value is twice the share of resamples on the other side of zero (with the add-one correction), at most 1.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    _same_length(first, second)
    n = first.size
    if n == 0:
        return Difference(0.0, -1.0, 1.0, 1.0, 0)
    gaps = second - first
    means = _resampled_means(gaps, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    below = (int((means <= 0).sum()) + 1) / (resamples + 1)
    above = (int((means >= 0).sum()) + 1) / (resamples + 1)
    return Difference(float(gaps.mean()), float(low), float(high), min(1.0, 2 * min(below, above)), n)


def _resampled_means(gaps: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Means of resamples with replacement, counted by distinct value where there are few (0/1 scores): then a multinomial
    draw says the same as drawing every question, at a fraction of the cost."""
    values, counts = np.unique(gaps, return_counts=True)
    if values.size <= 64:
        drawn = generator.multinomial(gaps.size, counts / gaps.size, size=resamples)
        return np.asarray(drawn @ values / gaps.size)
    rows = max(1, _CHUNK // gaps.size)
    pieces = []
    for start in range(0, resamples, rows):
        picked = generator.integers(0, gaps.size, size=(min(rows, resamples - start), gaps.size))
        pieces.append(gaps[picked].mean(axis=1))
    return np.concatenate(pieces)


def _same_length(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError("paired scores must be of the same questions")

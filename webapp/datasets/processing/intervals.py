"""The 95 % interval of a sampled proportion."""

import math
from collections.abc import Callable

EXACT_BELOW = 40
_Z = 1.959963984540054


def interval(good: int, judged: int) -> tuple[float, float]:
    """Wilson's score interval (1927); below EXACT_BELOW judgements the exact one of Clopper and Pearson (1934)."""
    if not judged:
        return 0.0, 1.0
    return exact(good, judged) if judged < EXACT_BELOW else wilson(good, judged)


def wilson(good: int, judged: int) -> tuple[float, float]:
    share = good / judged
    middle = share + _Z**2 / (2 * judged)
    spread = _Z * math.sqrt(share * (1 - share) / judged + _Z**2 / (4 * judged**2))
    scale = 1 + _Z**2 / judged
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def exact(good: int, judged: int, outside: float = 0.05) -> tuple[float, float]:
    """By bisection on the binomial tails."""
    low = 0.0 if good == 0 else _solve(lambda share: 1 - _at_most(good - 1, judged, share) < outside / 2)
    high = 1.0 if good == judged else _solve(lambda share: _at_most(good, judged, share) > outside / 2)
    return low, high


def _at_most(good: int, judged: int, share: float) -> float:
    return sum(math.comb(judged, hits) * share**hits * (1 - share) ** (judged - hits) for hits in range(good + 1))


def _solve(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2

"""Paired comparison of models on the same questions: significance, differences, shared ranks.

numpy is imported where it is used: a server that nobody asks for a leaderboard starts faster and stays smaller without it.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
RESAMPLES = 2000
SMALLEST_P = 0.0001
Scores: TypeAlias = "np.ndarray"


def pack_scores(scores: Mapping[int, float]) -> bytes:
    """Scores by position as compressed float32; positions that were not asked are NaN."""
    import numpy as np

    values = np.full(max(scores, default=-1) + 1, np.nan, dtype="<f4")
    for position, score in scores.items():
        values[position] = score
    return zlib.compress(values.tobytes())


def unpack_scores(packed: bytes) -> Scores:
    import numpy as np

    return np.frombuffer(zlib.decompress(packed), dtype="<f4") if packed else np.zeros(0, dtype="<f4")


@dataclass(frozen=True)
class Comparison:
    """b against a over the questions that both answered. `p`: exact McNemar for right and wrong, else the bootstrap's."""

    difference: float
    low: float
    high: float
    p: float
    n: int
    only_a: int
    only_b: int

    @property
    def shown(self) -> dict[str, str]:
        """Difference and interval in percentage points with their sign, and p, as words for a page."""
        points = {"difference": self.difference, "low": self.low, "high": self.high}
        words = {name: f"{100 * value:+.1f}".replace("-", "−") for name, value in points.items()}
        return {**words, "p": f"= {self.p:.4f}" if self.p >= SMALLEST_P else f"< {SMALLEST_P}"}

    @property
    def is_significant(self) -> bool:
        return self.n > 0 and self.p < LEVEL

    @property
    def verdict(self) -> str:
        """better, worse or tie: of b."""
        if not self.is_significant:
            return "tie"
        return "better" if self.difference > 0 else "worse"


@lru_cache(maxsize=8192)
def compare(a: bytes, b: bytes) -> Comparison:
    """Compare two packed score vectors; the same two vectors are computed once."""
    import numpy as np

    from workers.evaluate.statistics import mcnemar, paired_difference

    first, second = _common(unpack_scores(bytes(a)), unpack_scores(bytes(b)))
    found = paired_difference(first, second, resamples=RESAMPLES)  # type: ignore[arg-type]
    binary = bool(np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all())
    p = mcnemar(first, second) if binary else found.p  # type: ignore[arg-type]
    only_a, only_b = int((first > second).sum()), int((second > first).sum())
    return Comparison(found.difference, found.low, found.high, p, found.n, only_a, only_b)


def _common(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    import numpy as np

    length = min(first.size, second.size)
    both = ~np.isnan(first[:length]) & ~np.isnan(second[:length])
    return first[:length][both].astype(float), second[:length][both].astype(float)


def shared_ranks(scores: list[bytes]) -> list[int]:
    """Rank of each model: one more than the number of models that are significantly better. Ties share a rank."""
    return [
        1 + sum(compare(bytes(own), bytes(other)).verdict == "better" for index, other in enumerate(scores) if index != place)
        for place, own in enumerate(scores)
    ]

"""The held-out examples that a run's model found hardest, as its program told them; for the page and the API."""

import math
from dataclasses import dataclass
from typing import Any

from webapp.jobs.models import Job, JobEvent

STEPS = (0.1, 0.5, 1.5, 3.0)
"""Losses at which a token gets the next deeper colour: probabilities of 90, 61, 22 and 5 %."""
LOOKED_AT = 40


@dataclass(frozen=True)
class Piece:
    """A stretch of text; `loss` is None where nothing is learnt."""

    text: str
    loss: float | None

    @property
    def shade(self) -> int:
        """0 (expected) to 4 (a surprise)."""
        return sum((self.loss or 0.0) >= step for step in STEPS)

    @property
    def probability(self) -> float:
        return math.exp(-(self.loss or 0.0))


@dataclass(frozen=True)
class Hard:
    loss: float
    pieces: list[Piece]


def hardest(job: Job) -> list[Hard]:
    """Highest mean loss first; empty before the run has ended, and for kinds that do not tell."""
    events = JobEvent.objects.filter(job=job, type="sample").order_by("-seq")[:LOOKED_AT]
    rows: list[dict[str, Any]] = next((event.data["data"]["rows"] for event in events if event.data.get("name") == "hardest"), [])
    return [Hard(row["loss"], [Piece(span["text"], span["loss"]) for span in row["spans"]]) for row in rows]

"""Rows of the planner as templates draw them: stacked bars as SVG coordinates, words for parts and steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from webapp.registry.training.planner_forms import PARTS, SHORT_STEPS, STEPS
from webapp.registry.training.planning import Row, ServingRow
from workers.planner.cards import Device

WIDTH = 100.0


@dataclass(frozen=True)
class Piece:
    """A stretch of a bar: from `x`, `width` wide (of 100, which is what there is), and what it stands for.

    `size`: bytes on a bar of memory, seconds on a bar of time.
    """

    name: str
    label: str
    size: float
    x: float
    width: float


def pieces(parts: Mapping[str, float], whole: float) -> list[Piece]:
    """A bar as long as the device's memory; what does not fit makes the bar's unit smaller, so that all of it is seen."""
    total = max(whole, sum(parts.values()))
    found, x = [], 0.0
    for name, size in parts.items():
        if size <= 0:
            continue
        width = WIDTH * size / total
        found.append(Piece(name, gettext(PARTS.get(name, name)), size, round(x, 2), round(width, 2)))
        x += width
    return found


def limit(parts: Mapping[str, float], whole: float) -> float:
    """Where the device's memory ends on its bar."""
    return round(WIDTH * whole / max(whole, sum(parts.values())), 2)


def drawn(rows: list[Row]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        facts = _facts(row.device, row.memory.parts, row.memory.total, row.verdict)
        facts |= {
            "seconds": max(1.0, row.time.seconds),
            "time_pieces": pieces(row.time.parts, row.time.seconds),
            "speed": row.time.tokens_per_second,
            "row": row,
            "peak_at": row.memory.peak_at,
        }
        if row.recipe is not None:
            facts["recipe"] = {
                "steps": [gettext(STEPS[name]) for name in row.recipe.steps],
                "chips": [(gettext(SHORT_STEPS[name]), gettext(STEPS[name])) for name in row.recipe.steps],
                "total": row.recipe.memory.total,
                "seconds": max(1.0, row.recipe_time.seconds) if row.recipe_time else None,
                "plan": row.recipe.plan,
            }
        found.append(facts)
    return found


def drawn_serving(rows: list[ServingRow]) -> list[dict[str, Any]]:
    return [{**_facts(row.device, row.parts, row.total, row.verdict), "requests": row.requests} for row in rows]


def _facts(device: Device, parts: Mapping[str, float], total: float, verdict: str) -> dict[str, Any]:
    return {
        "device": device,
        "pieces": pieces(parts, device.usable),
        "limit": limit(parts, device.usable),
        "total": total,
        "usable": device.usable,
        "verdict": verdict,
        "share": total / device.usable if device.usable else 0.0,
    }

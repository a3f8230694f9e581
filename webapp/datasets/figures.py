"""Charts of a version: labels, lengths, languages."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _

from webapp.core.charts import PALETTE, figure
from webapp.core.errors import NotFound
from webapp.datasets.models import DatasetVersion

LARGEST_BARS = 16
LONGEST_NAME = 26


def version_figure(version: DatasetVersion, name: str) -> dict[str, Any]:
    """A figure by its name: labels, lengths or languages."""
    draw = FIGURES.get(name)
    if draw is None:
        raise NotFound
    return draw(version.stats)


def bars(counts: dict[str, int], *, colour: int = 0) -> dict[str, Any]:
    """Names on the left, the largest on top."""
    shown = list(counts.items())[:LARGEST_BARS][::-1]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [count for _name, count in shown],
        "y": [name for name, _count in shown],
        "marker": {"color": PALETTE[colour]},
        "hovertemplate": "%{y}: %{x:,}<extra></extra>",
    }
    names = [name for name, _count in shown]
    short = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names]
    axis = {"automargin": True, "type": "category", "tickmode": "array", "tickvals": names, "ticktext": short}
    return figure([trace], x=_("records"), hovermode="closest", yaxis=axis, bargap=0.25)


def _labels(stats: dict[str, Any]) -> dict[str, Any]:
    return bars(stats.get("labels", {}))


def _languages(stats: dict[str, Any]) -> dict[str, Any]:
    names = {"zh": _("Chinese"), "en": _("English"), "unknown": _("unknown")}
    return bars({names.get(name, name): count for name, count in stats.get("languages", {}).items()}, colour=2)


def _lengths(stats: dict[str, Any]) -> dict[str, Any]:
    histogram = stats.get("length_histogram", [])
    bounds = [0, *(item["up_to"] for item in histogram)]
    trace = {
        "type": "bar",
        "x": [f"≤ {item['up_to']}" for item in histogram],
        "y": [item["count"] for item in histogram],
        "marker": {"color": PALETTE[3]},
        "customdata": [f"{low + 1}–{high}" for low, high in pairwise(bounds)],
        "hovertemplate": "%{customdata}: %{y:,}<extra></extra>",
    }
    return figure([trace], x=_("tokens, about"), y=_("records"), hovermode="closest", xaxis={"type": "category"}, bargap=0.08)


FIGURES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "labels": _labels,
    "languages": _languages,
    "lengths": _lengths,
}

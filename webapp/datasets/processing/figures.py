"""Charts of processing: the funnel, scores of quality, sizes of groups of duplicates."""

from typing import Any

from django.utils.translation import gettext as _

from webapp.core.charts import PALETTE, figure
from webapp.core.errors import NotFound
from webapp.datasets.processing.wording import stage_label

LARGEST = 20


def draw(name: str, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """A figure by its name: funnel, quality or clusters."""
    if name == "funnel":
        return funnel(stages)
    for stage in stages:
        if name == "quality" and "histogram" in stage:
            return quality(stage["histogram"])
        if name == "clusters" and stage.get("cluster_sizes"):
            return clusters(stage["cluster_sizes"])
    if name in {"quality", "clusters"}:
        return figure([])
    raise NotFound


def funnel(stages: list[dict[str, Any]]) -> dict[str, Any]:
    """How many records are left after each stage: bars around one middle, red where a stage dropped something."""
    if not stages:
        return figure([])
    names = [_("Before"), *(stage_label(stage["name"]) for stage in stages)]
    counts = [stages[0]["entered"], *(stage["kept"] for stage in stages)]
    dropped = [0, *(stage["dropped"] for stage in stages)]
    whole = max(1, counts[0])
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": counts,
        "base": [-count / 2 for count in counts],
        "text": [
            f"{count:,} · {100 * count / whole:.1f} %" + (f"  (−{less:,})" if less else "")
            for count, less in zip(counts, dropped, strict=True)
        ],
        "textposition": "auto",
        "insidetextanchor": "middle",
        "customdata": counts,
        "marker": {"color": [PALETTE[1] if less else PALETTE[0] for less in dropped]},
        "hovertemplate": "%{y}: %{customdata:,}<extra></extra>",
    }
    axis = {"automargin": True, "type": "category", "autorange": "reversed"}
    return figure([trace], hovermode="closest", yaxis=axis, xaxis={"visible": False}, bargap=0.12)


def quality(histogram: list[int]) -> dict[str, Any]:
    width = 1 / len(histogram)
    trace = {
        "type": "bar",
        "x": [round((number + 0.5) * width, 4) for number in range(len(histogram))],
        "y": histogram,
        "width": width * 0.94,
        "marker": {"color": PALETTE[3]},
        "hovertemplate": "%{x:.2f}: %{y:,}<extra></extra>",
    }
    return figure([trace], x=_("quality score"), y=_("records"), hovermode="closest", xaxis={"range": [0, 1]})


def clusters(sizes: dict[str, int]) -> dict[str, Any]:
    """Groups by size; the large ones together."""
    counts: dict[int, int] = {}
    for size, number in sizes.items():
        counts[min(int(size), LARGEST)] = counts.get(min(int(size), LARGEST), 0) + number
    trace = {
        "type": "bar",
        "x": [f"{size}" if size < LARGEST else f"≥ {LARGEST}" for size in sorted(counts)],
        "y": [counts[size] for size in sorted(counts)],
        "marker": {"color": PALETTE[2]},
        "hovertemplate": "%{x}: %{y:,}<extra></extra>",
    }
    return figure([trace], x=_("records in a group"), y=_("groups"), hovermode="closest", xaxis={"type": "category"})

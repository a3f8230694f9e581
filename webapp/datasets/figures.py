"""Charts of a version and of a workspace: what they are made of, labels, lengths, languages."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from django.utils.html import escape
from django.utils.translation import gettext as _

from webapp.core.charts import PALETTE, figure
from webapp.core.errors import NotFound
from webapp.core.templatetags.numbers import bytesize
from webapp.datasets.composition import COMPOSED
from webapp.datasets.filtering import FACET_NAMES, value_name
from webapp.datasets.models import DatasetVersion

LARGEST_BARS = 16
LARGEST_PIECES = 7
SMALLEST_NAMED = 0.08
LONGEST_NAME = 26


def version_figure(version: DatasetVersion, name: str) -> dict[str, Any]:
    """A figure by its name: composition, composition-bytes, labels, lengths or languages."""
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


def composition(facets: Mapping[str, Mapping[str, list[int]]], *, by_bytes: bool = False) -> dict[str, Any]:
    """A bar per facet, cut into the shares of its values; the rare ones as one piece."""
    traces = []
    rows = [str(FACET_NAMES[name]) for name in COMPOSED]
    for row, name in zip(rows, COMPOSED, strict=True):
        counts = {value: numbers[1 if by_bytes else 0] for value, numbers in facets.get(name, {}).items()}
        total = sum(counts.values())
        shown = sorted(counts.items(), key=lambda item: -item[1])[:LARGEST_PIECES]
        pieces = [(value_name(name, value), count) for value, count in shown]
        if rest := total - sum(count for _value, count in pieces):
            pieces.append((_("others"), rest))
        for number, (value, count) in enumerate(pieces):
            said = bytesize(count) if by_bytes else f"{count:,}"
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": value,
                    "x": [100 * count / total],
                    "y": [row],
                    "marker": {"color": PALETTE[number % len(PALETTE)], "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
                    "text": [value if count > SMALLEST_NAMED * total else ""],
                    "textposition": "inside",
                    "insidetextanchor": "middle",
                    "hovertemplate": f"{row}: {_plain(value)}<br>{said} · %{{x:.1f}} %<extra></extra>",
                }
            )
    axis = {"automargin": True, "type": "category", "categoryorder": "array", "categoryarray": rows[::-1]}
    unit = _("share of the bytes, %") if by_bytes else _("share of the records, %")
    share = {"range": [0, 100], "title": {"text": unit}, "automargin": True}
    return figure(traces, xaxis=share, barmode="stack", hovermode="closest", showlegend=False, yaxis=axis, bargap=0.35)


def _plain(text: str) -> str:
    """A name in a hover text, whose markup and placeholders plotly would follow."""
    return escape(text[:80]).replace("%{", "% {")


def _composition(stats: dict[str, Any]) -> dict[str, Any]:
    return composition(stats.get("facets", {}))


def _composition_bytes(stats: dict[str, Any]) -> dict[str, Any]:
    return composition(stats.get("facets", {}), by_bytes=True)


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
    "composition": _composition,
    "composition-bytes": _composition_bytes,
    "labels": _labels,
    "languages": _languages,
    "lengths": _lengths,
}

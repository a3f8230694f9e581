"""Plotly figures built in Python, down-sampled so that a page never gets more than 2,000 points a series."""

from collections.abc import Sequence
from typing import Any

MAXIMUM_POINTS = 2000
PALETTE = ["#2f6f62", "#c8553d", "#4a6fa5", "#d9a441", "#7a5195", "#5b8c5a", "#b56576", "#457b9d"]


def largest_triangle(xs: Sequence[float], ys: Sequence[float], limit: int = MAXIMUM_POINTS) -> tuple[list[float], list[float]]:
    """Largest-Triangle-Three-Buckets down-sampling (Steinarsson 2013): keeps the points that shape the curve.

    `xs` ascending, same length as `ys`; returns at most `limit` points, the first and last among them.
    """
    count = len(xs)
    if count <= limit or limit < 3:
        return list(xs), list(ys)
    width = (count - 2) / (limit - 2)
    chosen = [0]
    for bucket in range(limit - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        following = range(end, min(int((bucket + 2) * width) + 1, count))
        mean_x = sum(xs[i] for i in following) / len(following)
        mean_y = sum(ys[i] for i in following) / len(following)
        last = chosen[-1]
        base_x, base_y = xs[last] - mean_x, ys[last] - mean_y
        chosen.append(max(range(start, end), key=lambda i: abs(base_x * (ys[i] - ys[last]) - (xs[last] - xs[i]) * base_y)))
    chosen.append(count - 1)
    return [xs[i] for i in chosen], [ys[i] for i in chosen]


def line(name: str, xs: Sequence[float], ys: Sequence[float], *, colour: int = 0, **options: Any) -> dict[str, Any]:
    """One curve as a plotly trace."""
    xs, ys = largest_triangle(xs, ys)
    return {
        "type": "scatter",
        "mode": "lines" if len(xs) > 1 else "markers",
        "name": name,
        "x": xs,
        "y": ys,
        "line": {"color": PALETTE[colour % len(PALETTE)], "width": 2},
        **options,
    }


def figure(traces: list[dict[str, Any]], *, x: str = "", y: str = "", **layout: Any) -> dict[str, Any]:
    """A plotly figure as JSON data: traces plus the house layout; the page's theme sets the colours of paper and text.

    plotly checks every attribute; it is imported here because a page without charts should not pay for it.
    """
    from plotly import graph_objects

    drawn = graph_objects.Figure(
        data=traces,
        layout={
            "template": "none",
            "xaxis": {"title": {"text": x}, "automargin": True},
            "yaxis": {"title": {"text": y}, "automargin": True},
            "margin": {"l": 48, "r": 16, "t": 16, "b": 40},
            "showlegend": len(traces) > 1,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "x unified",
            "colorway": PALETTE,
            **layout,
        },
    )
    return drawn.to_plotly_json()  # type: ignore[no-any-return]

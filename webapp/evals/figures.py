"""Charts of evaluation: scores with their intervals."""

from typing import Any

from django.utils.translation import gettext

from webapp.core import charts
from webapp.evals.queries import Row

SHOWN = 40


def forest(rows: list[Row]) -> dict[str, Any]:
    """Forest plot: a point with its 95 % interval for each model, the best on top."""
    shown = list(reversed(rows[:SHOWN]))
    scores = [100 * (row.evaluation.score or 0.0) for row in shown]
    lows = [100 * (row.evaluation.low if row.evaluation.low is not None else 0.0) for row in shown]
    highs = [100 * (row.evaluation.high if row.evaluation.high is not None else 1.0) for row in shown]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": gettext("score"),
        "x": scores,
        "y": [row.model.name for row in shown],
        "marker": {"size": 10, "color": charts.PALETTE[0]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - score for high, score in zip(highs, scores, strict=True)],
            "arrayminus": [score - low for low, score in zip(lows, scores, strict=True)],
            "color": charts.PALETTE[0],
            "thickness": 2,
        },
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    return charts.figure(
        [trace],
        x=gettext("score (%) and its 95 % interval"),
        hovermode="closest",
        xaxis={"title": {"text": gettext("score (%) and its 95 % interval")}, "range": [-2, 102], "automargin": True},
    )

"""Curves of training runs as plotly figures: over steps, tokens or time; several runs in one; throughput and scaling."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from webapp.core import charts
from webapp.jobs.models import Job, MetricPoint

Series = tuple[list[float], list[float]]
FIGURES = (
    "loss", "learning_rate", "tokens_per_second", "grad_norm", "mfu", "teraflops",
    "accuracy", "margin", "reward", "answer_tokens", "even_groups",
)  # fmt: skip
AXES = ("step", "tokens", "time")
WITH_HELD_OUT = {"loss", "accuracy", "margin", "reward"}
SHARES = {"accuracy", "mfu", "even_groups"}
"""Drawn as percent."""


def series_of(jobs: Iterable[Job], names: list[str], axis: str = "step") -> dict[tuple[int, str], Series]:
    """(job id, name) → places on the axis (steps, tokens, or seconds since the first point) and values."""
    listed = list(jobs)
    found: dict[tuple[int, str], list[tuple[int, float, datetime]]] = defaultdict(list)
    points = MetricPoint.objects.filter(job__in=listed, name__in=[*names, "tokens_per_second"], value__isnull=False)
    for job_id, name, step, value, at in points.order_by("step").values_list("job_id", "name", "step", "value", "at"):
        found[job_id, name].append((step, float(value or 0.0), at))
    began = {job.pk: min((rows[0][2] for (owner, _), rows in found.items() if owner == job.pk), default=None) for job in listed}
    tokens = {job.pk: tokens_per_step(job, found.get((job.pk, "tokens_per_second"), [])) for job in listed}

    def place(job_id: int, step: int, at: datetime) -> float:
        start = began[job_id]
        if axis == "time" and start is not None:
            return (at - start).total_seconds()
        return step * tokens[job_id] if axis == "tokens" else step

    return {
        (job_id, name): ([place(job_id, step, at) for step, _, at in rows], [value for _, value, _ in rows])
        for (job_id, name), rows in found.items()
        if name in names
    }


def tokens_per_step(job: Job, speeds: list[tuple[int, float, datetime]]) -> float:
    """From the result; of a run that goes on, from its speed and the time between its points."""
    result = job.result or {}
    if result.get("steps") and result.get("tokens"):
        return float(result["tokens"]) / float(result["steps"])
    if len(speeds) < 2 or speeds[-1][0] == speeds[0][0]:
        return 1.0
    seconds = (speeds[-1][2] - speeds[0][2]).total_seconds()
    mean = sum(value for _, value, _ in speeds) / len(speeds)
    return max(1.0, mean * seconds / (speeds[-1][0] - speeds[0][0]))


def axis_label(axis: str) -> str:
    return {"step": gettext("step"), "tokens": gettext("tokens"), "time": gettext("seconds")}[axis]


def names_of(name: str) -> list[str]:
    return [name, f"held_out_{name}"] if name in WITH_HELD_OUT else [name]


def run_figure(job: Job, name: str, axis: str = "step") -> dict[str, Any]:
    """One chart of one run; what is measured on held-out examples lies over it."""
    found = series_of([job], names_of(name), axis)
    traces = []
    if (job.pk, name) in found:
        traces.append(charts.line(_label(name), *found[job.pk, name]))
    held = f"held_out_{name}"
    if (job.pk, held) in found and (job.kind, name) != ("grpo", "loss"):  # nothing is held out there but rewards
        held_out = charts.line(_label(held), *found[job.pk, held], colour=1)
        traces.append({**held_out, "mode": "lines+markers", "marker": {"size": 7}})
        if name == "loss" and len(found[job.pk, held][1]) > 2:
            traces.append(_lowest(*found[job.pk, held]))
    return charts.figure(traces, x=axis_label(axis), yaxis=_upright(name))


def _upright(name: str, title: str = "") -> dict[str, Any]:
    """The axis of the values, shares in percent."""
    axis: dict[str, Any] = {"title": {"text": title}, "automargin": True}
    return {**axis, "tickformat": ".0~%"} if name in SHARES else axis


def _lowest(places: list[float], values: list[float]) -> dict[str, Any]:
    """A star at the best look: the weights that “Keep the best” keeps."""
    best = min(range(len(values)), key=values.__getitem__)
    star = charts.line(gettext("lowest: %(value)s") % {"value": f"{values[best]:.4g}"}, [places[best]], [values[best]], colour=3)
    return {**star, "marker": {"symbol": "star", "size": 14, "color": charts.PALETTE[3]}, "hoverinfo": "name"}


def comparison_figure(jobs: list[Job], name: str, axis: str = "step") -> dict[str, Any]:
    """The same curve of several runs in one chart; held-out curves dotted in the colour of their run."""
    found = series_of(jobs, names_of(name), axis)
    traces = []
    for number, job in enumerate(jobs):
        if (job.pk, name) in found:
            traces.append(charts.line(f"#{job.pk} {job.name}", *found[job.pk, name], colour=number))
        held = f"held_out_{name}"
        if (job.pk, held) in found:
            trace = charts.line(f"#{job.pk} {_label(held)}", *found[job.pk, held], colour=number, mode="lines+markers")
            trace["line"] = {**trace["line"], "dash": "dot"}
            traces.append({**trace, "showlegend": (job.pk, name) not in found})
    title = gettext("%(name)s (dotted: held out)") % {"name": _label(name)} if name in WITH_HELD_OUT else _label(name)
    return charts.figure(traces, x=axis_label(axis), yaxis=_upright(name, title))


def _label(name: str) -> str:
    return {
        "loss": gettext("loss"),
        "held_out_loss": gettext("held-out loss"),
        "learning_rate": gettext("learning rate"),
        "tokens_per_second": gettext("tokens per second"),
        "grad_norm": gettext("gradient norm"),
        "mfu": gettext("share of the machine's peak (MFU)"),
        "teraflops": gettext("TFLOP/s"),
        "accuracy": gettext("share right"),
        "held_out_accuracy": gettext("held-out share right"),
        "margin": gettext("lead"),
        "held_out_margin": gettext("held-out lead"),
        "reward": gettext("reward"),
        "held_out_reward": gettext("held-out reward"),
        "answer_tokens": gettext("tokens of an answer"),
        "even_groups": gettext("questions without a difference"),
    }.get(name, name)

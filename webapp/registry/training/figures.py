"""Curves of training runs as plotly figures."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext

from webapp.core import charts
from webapp.jobs.models import Job, MetricPoint

Series = tuple[list[float], list[float]]
FIGURES = ("loss", "learning_rate", "tokens_per_second", "grad_norm")


def series_of(jobs: Iterable[Job], names: list[str]) -> dict[tuple[int, str], Series]:
    """(job id, name) → steps and values."""
    found: dict[tuple[int, str], Series] = defaultdict(lambda: ([], []))
    points = MetricPoint.objects.filter(job__in=list(jobs), name__in=names, value__isnull=False).order_by("step")
    for job_id, name, step, value in points.values_list("job_id", "name", "step", "value"):
        found[job_id, name][0].append(step)
        found[job_id, name][1].append(float(value or 0.0))
    return found


def run_figure(job: Job, name: str) -> dict[str, Any]:
    """One chart of one run; the loss has the held-out loss over it."""
    series = series_of([job], [name, "held_out_loss"] if name == "loss" else [name])
    traces = []
    if (job.pk, name) in series:
        traces.append(charts.line(_label(name), *series[job.pk, name]))
    if (job.pk, "held_out_loss") in series and name == "loss":
        held_out = charts.line(_label("held_out_loss"), *series[job.pk, "held_out_loss"], colour=1)
        traces.append({**held_out, "mode": "lines+markers", "marker": {"size": 7}})
    return charts.figure(traces, x=gettext("step"))


def comparison_figure(jobs: list[Job], name: str) -> dict[str, Any]:
    """The same curve of several runs in one chart; held-out losses dashed in the colour of their run."""
    series = series_of(jobs, [name, "held_out_loss"] if name == "loss" else [name])
    traces = []
    for number, job in enumerate(jobs):
        if (job.pk, name) in series:
            traces.append(charts.line(f"#{job.pk} {job.name}", *series[job.pk, name], colour=number))
        if name == "loss" and (job.pk, "held_out_loss") in series:
            trace = charts.line(
                f"#{job.pk} {_label('held_out_loss')}", *series[job.pk, "held_out_loss"], colour=number, mode="lines+markers"
            )
            trace["line"] = {**trace["line"], "dash": "dot"}
            traces.append(trace)
    return charts.figure(traces, x=gettext("step"), y=_label(name))


def _label(name: str) -> str:
    return {
        "loss": gettext("loss"),
        "held_out_loss": gettext("held-out loss"),
        "learning_rate": gettext("learning rate"),
        "tokens_per_second": gettext("tokens per second"),
        "grad_norm": gettext("gradient norm"),
    }.get(name, name)

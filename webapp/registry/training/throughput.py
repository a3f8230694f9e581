"""How fast one's own runs were, and how well they scale over devices (S7.1, S7.2)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from webapp.accounts.models import Workspace
from webapp.core import charts
from webapp.jobs.models import Job, State
from webapp.registry.training.runs import RUN_KINDS

LOOKED_AT = 60
LONGEST_NAME = 24
SHOWN = 20


@dataclass(frozen=True)
class Pace:
    """A finished run: tokens per second of one process, and of all of them."""

    job: Job
    method: str
    processes: int
    each: float
    parameters: int

    @property
    def all(self) -> float:
        return self.each * self.processes

    @property
    def same(self) -> tuple[Any, ...]:
        """Runs that differ in nothing but the number of processes can be compared."""
        resolved = (self.job.result or {}).get("resolved") or {}
        spec = self.job.spec
        where = (resolved.get("device"), resolved.get("precision"), resolved.get("tokens_per_step"))
        return (self.job.kind, spec.get("base_model"), tuple(spec.get("datasets", [])), self.method, self.parameters, *where)


def paces(workspace: Workspace) -> list[Pace]:
    """Finished runs, the newest first."""
    jobs = Job.objects.filter(workspace=workspace, kind__in=RUN_KINDS, state=State.DONE).order_by("-pk")[:LOOKED_AT]
    found = []
    for job in jobs:
        result = job.result or {}
        speed = result.get("tokens_per_second")
        processes = int((result.get("resolved") or {}).get("processes") or 1)
        if speed:
            each = float(speed) / processes
            found.append(Pace(job, str(result.get("method") or ""), processes, each, int(result.get("parameters") or 0)))
    return found


def _short(job: Job) -> str:
    """Number and the beginning of the name: a chart has little room beside it."""
    name = job.name if len(job.name) <= LONGEST_NAME else f"{job.name[: LONGEST_NAME - 1]}…"
    return f"#{job.pk} {name}"


def speed_figure(found: list[Pace]) -> dict[str, Any]:
    """A bar for each of the newest runs: tokens per second of one device."""
    shown = list(reversed(found[:SHOWN]))
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": gettext("tokens per second of one device"),
        "y": [_short(pace.job) for pace in shown],
        "x": [round(pace.each, 1) for pace in shown],
        "marker": {"color": charts.PALETTE[0]},
    }
    return charts.figure([bars] if shown else [], x=gettext("tokens per second of one device"), hovermode="closest")


def efficiencies(found: Iterable[Pace]) -> dict[str, list[tuple[int, float]]]:
    """Name of a group of like runs → (processes, share of the speed that as many separate processes would have)."""
    groups: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    names: dict[tuple[Any, ...], str] = {}
    for pace in found:
        best = groups[pace.same]
        best[pace.processes] = max(best.get(pace.processes, 0.0), pace.each)
        names.setdefault(pace.same, _short(pace.job))
    return {
        names[key]: [(count, each / best[min(best)]) for count, each in sorted(best.items())]
        for key, best in groups.items()
        if len(best) > 1
    }


def scaling_figure(found: list[Pace]) -> dict[str, Any]:
    traces = []
    for number, (name, points) in enumerate(efficiencies(found).items()):
        counts, shares = [float(count) for count, _ in points], [round(share, 4) for _, share in points]
        traces.append({**charts.line(name, counts, shares, colour=number), "mode": "lines+markers", "marker": {"size": 8}})
    counts = sorted({count for points in efficiencies(found).values() for count, _ in points})
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": gettext("processes")}, "tickvals": counts, "automargin": True},
        "showlegend": True,
        "yaxis": {"title": {"text": gettext("efficiency")}, "tickformat": ".0%", "rangemode": "tozero", "automargin": True},
    }
    return charts.figure(traces, **layout)


FIGURES = {"speed": speed_figure, "scaling": scaling_figure}

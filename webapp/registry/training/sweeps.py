"""Sweeps: several runs that differ in a few settings, on a grid or drawn at random; the best one by held-out loss."""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet

from webapp.accounts.access import access_owned, access_workspace
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.core import charts
from webapp.core.errors import UserError
from webapp.jobs.models import ALIVE, Job, MetricPoint, State
from webapp.jobs.services import cancel_job
from webapp.registry.models import Model, Sweep, SweepRun
from webapp.registry.training.services import spec_class, start_from_form
from webapp.registry.training.spec_fields import form_groups, label_of

MOST_RUNS = 32
MOST_AXES = 4
LESS_IS_BETTER = {"sft": "held_out_loss", "pretrain": "held_out_loss", "preference": "held_out_loss", "reward": "held_out_loss"}
LEFT_OUT = {"name", "datasets", "base_model", "tokenizer", "sample_prompts", "system_prompt", "instruction"}


def settings_to_try(kind: str) -> list[tuple[str, str]]:
    """(path, label) of the settings that a sweep may vary."""
    groups = form_groups(spec_class(kind), without=LEFT_OUT)
    return [(item.path, f"{group.label}: {item.label}") for group in groups for item in group.fields if item.control != "lines"]


def read_values(text: str) -> list[Any]:
    """Values between commas; `1e-5 … 1e-3` (or `1e-5..1e-3`) is a range, drawn from or cut into four on a grid."""
    return [_value(part.strip()) for part in text.replace("，", ",").split(",") if part.strip()]


def _value(text: str) -> Any:
    for mark in ("…", ".."):
        low, found, high = text.partition(mark)
        if found:
            return (_number(low.strip()), _number(high.strip()))
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return _number(text)
    except UserError:
        return text


def _number(text: str) -> float | int:
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(
            "sweep.bad_value",
            "“{value}” is no number; write values like 1e-4, 3e-4 or a range like 1e-5..1e-3.",
            status=422,
            value=text,
        ) from error
    if not math.isfinite(value):
        raise UserError(
            "sweep.bad_value",
            "“{value}” is no number; write values like 1e-4, 3e-4 or a range like 1e-5..1e-3.",
            status=422,
            value=text,
        )
    return int(value) if value.is_integer() and "e" not in text.lower() and "." not in text else value


def grid(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination; a range becomes four values, evenly spaced on a logarithmic scale where it spans a factor of ten."""
    listed = {path: [value for given in values for value in _steps(given)] for path, values in axes.items()}
    return [dict(zip(listed, combination, strict=True)) for combination in itertools.product(*listed.values())]


def _steps(value: Any) -> list[Any]:
    if not isinstance(value, tuple):
        return [value]
    return list(dict.fromkeys(_between(value, share / 3) for share in range(4)))


def drawn(axes: Mapping[str, Sequence[Any]], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """`count` different combinations at random; ranges are drawn from evenly (or on a logarithmic scale)."""
    dice, found = random.Random(seed), []
    for _ in range(20 * count):
        choice = {path: _draw(dice.choice(list(values)), dice) for path, values in axes.items()}
        if choice not in found:
            found.append(choice)
        if len(found) == count:
            break
    return found


def _draw(value: Any, dice: random.Random) -> Any:
    return _between(value, dice.random()) if isinstance(value, tuple) else value


def _between(bounds: tuple[float, float], share: float) -> float | int:
    low, high = sorted(bounds)
    if low > 0 and high / low >= 10:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    whole = all(isinstance(bound, int) for bound in bounds)
    return round(value) if whole else float(f"{value:.3g}")


def with_choice(values: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a form with those of one combination put in."""
    merged = dict(values)
    for path, value in choice.items():
        first, _, rest = path.partition(".")
        merged[first] = {**(merged.get(first) or {}), rest: value} if rest else value
    return merged


def start_sweep(
    *, user: User, slug: str, kind: str, values: Mapping[str, Any], axes: Mapping[str, str], order: str = "grid", count: int = 8
) -> Sweep:
    """Queue a run for every combination of the values in `axes` (setting → values as written)."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    known = {path for path, _ in settings_to_try(kind)}
    read = {path: read_values(text) for path, text in axes.items() if path in known and text.strip()}
    if not read:
        raise UserError(
            "sweep.nothing_to_try", "Choose a setting and write the values to try, e.g. 1e-4, 3e-4, 1e-3.", status=422
        )
    if len(read) > MOST_AXES:
        raise UserError("sweep.many_axes", "A sweep varies at most {limit} settings.", status=422, limit=MOST_AXES)
    choices = drawn(read, min(count, MOST_RUNS)) if order == "random" else grid(read)
    if len(choices) > MOST_RUNS:
        raise UserError(
            "sweep.many_runs", "That would be {count} runs; at most {limit} are allowed: try fewer values, or draw at random.",
            status=422, count=len(choices), limit=MOST_RUNS,
        )  # fmt: skip
    name = str(values.get("name") or kind)[:90]
    for choice in choices:  # all must be right before any is queued
        spec_class(kind).model_validate({**with_choice(values, choice), "name": name})
    with transaction.atomic():
        sweep = Sweep.objects.create(workspace=workspace, name=name, kind=kind, axes=_shown(read), created_by=user)
        for choice in choices:
            run_name = f"{name} · {', '.join(_word(path, value) for path, value in choice.items())}"[:118]
            filled = {**with_choice(values, choice), "name": _free(workspace, run_name)}
            job = start_from_form(user=user, slug=slug, kind=kind, values=filled)
            SweepRun.objects.create(sweep=sweep, job=job, choice=choice)
        record_audit(actor=user, workspace=workspace, action="sweep.start", subject=str(sweep), runs=len(choices))
    return sweep


def _free(workspace: Workspace, wanted: str) -> str:
    """A name that neither a model nor another run of a sweep has."""
    taken = set(Model.objects.filter(workspace=workspace, name__startswith=wanted[:100]).values_list("name", flat=True))
    waiting = Job.objects.filter(workspace=workspace, name__startswith=wanted[:100], state__in=ALIVE)
    taken |= set(waiting.values_list("name", flat=True))
    return next(name for name in (wanted, *(f"{wanted[:114]} {number}" for number in range(2, 1000))) if name not in taken)


def _word(path: str, value: Any) -> str:
    return f"{label_of(path)} {_figure(value)}"


def _shown(axes: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {
        path: [f"{value[0]} … {value[1]}" if isinstance(value, tuple) else value for value in values]
        for path, values in axes.items()
    }


# Looking at a sweep


def access_sweep(user: User, sweep_id: int, *, role: str = Role.VIEWER) -> Sweep:
    return access_owned(user, Sweep, sweep_id, role=role)


def workspace_sweeps(workspace: Workspace) -> QuerySet[Sweep]:
    return Sweep.objects.filter(workspace=workspace).select_related("created_by").annotate(count=Count("runs"))


@dataclass(frozen=True)
class Row:
    run: SweepRun
    job: Job
    values: list[Any]
    loss: float | None
    held_out: float | None
    best: bool = False

    @property
    def score(self) -> float | None:
        """What runs are ranked by: the held-out figure, or the last training loss when nothing was held out."""
        return self.held_out if self.held_out is not None else self.loss


@dataclass(frozen=True)
class Table:
    """Runs, the best first; `paths` and `labels`: the columns of settings."""

    paths: list[str]
    labels: list[str]
    rows: list[Row]
    measure: str

    @property
    def alive(self) -> bool:
        return any(row.job.state in ALIVE for row in self.rows)


def table(sweep: Sweep) -> Table:
    runs = list(SweepRun.objects.filter(sweep=sweep).select_related("job"))
    measure = LESS_IS_BETTER.get(sweep.kind, "held_out_reward")
    newest: dict[tuple[int, str], float] = {}
    plain = "reward" if measure == "held_out_reward" else "loss"
    points = MetricPoint.objects.filter(job__in=[run.job_id for run in runs], name__in=[plain, measure], value__isnull=False)
    for job_id, name, value in points.order_by("step").values_list("job_id", "name", "value"):
        newest[job_id, name] = float(value or 0.0)
    paths = list(sweep.axes)
    rows = [
        Row(
            run,
            run.job,
            [run.choice.get(path) for path in paths],
            newest.get((run.job_id, plain)),
            newest.get((run.job_id, measure)),
        )
        for run in runs
    ]
    return Table(paths, [label_of(path) for path in paths], _ranked(rows, sweep.kind), measure)


def _ranked(rows: list[Row], kind: str) -> list[Row]:
    sign = 1 if kind in LESS_IS_BETTER else -1
    done = [row for row in rows if row.score is not None and row.job.state == State.DONE]
    best = min(done, key=lambda row: sign * float(row.score or 0.0), default=None)
    marked = [Row(row.run, row.job, row.values, row.loss, row.held_out, best=row is best) for row in rows]
    return sorted(marked, key=lambda row: (row.score is None, sign * float(row.score or 0.0), row.run.pk))


def cancel_sweep(*, user: User, sweep_id: int) -> Sweep:
    """Stop all its runs that wait or run."""
    sweep = access_sweep(user, sweep_id, role=Role.MANAGER)
    for run in SweepRun.objects.filter(sweep=sweep, job__state__in=[*ALIVE, State.PAUSED]).order_by("-pk"):
        cancel_job(user=user, job_id=run.job_id)
    record_audit(actor=user, workspace=sweep.workspace, action="sweep.cancel", subject=str(sweep))
    return sweep


def parallel_figure(found: Table, outcome: str) -> dict[str, Any]:
    """Parallel coordinates: one line a run, one axis a setting, the last one the outcome; the best run in another colour.

    `outcome`: what the last axis is called.
    """
    rows = [row for row in found.rows if row.score is not None]
    columns = [[row.values[number] for row in rows] for number in range(len(found.paths))] + [[row.score for row in rows]]
    places = [_places(column) for column in columns]
    names = [*found.labels, outcome]
    traces = []
    for number, row in reversed(list(enumerate(rows))):  # the best one last, on top of the others
        texts = [f"{name}: {_figure(column[number])}" for name, column in zip(names, columns, strict=True)]
        trace = charts.line(
            f"#{row.job.pk}", list(range(len(names))), [place[number] for place in places], colour=1 if row.best else 0
        )
        trace["line"] = {**trace["line"], "width": 4 if row.best else 1.5}
        traces.append(
            {**trace, "mode": "lines+markers", "text": texts, "hoverinfo": "text+name", "opacity": 1 if row.best else 0.55}
        )
    axis: dict[str, Any] = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [-0.3, len(names) - 0.95],
        "gridwidth": 2,
        "zeroline": False,
        "fixedrange": True,
    }
    side: dict[str, Any] = {"visible": False, "range": [-0.08, 1.08], "fixedrange": True}
    marks = [mark for number, column in enumerate(columns) for mark in _marks(number, column, places[number])]
    return charts.figure(traces, xaxis=axis, yaxis=side, annotations=marks, showlegend=False, hovermode="closest", margin=ROOM)


MOST_MARKS = 6
ROOM = {"l": 16, "r": 64, "t": 16, "b": 40}
"""Pixels around parallel axes: the figures of the last one stand to the right of it."""


def _marks(axis: int, column: Sequence[Any], places: Sequence[float]) -> list[dict[str, Any]]:
    """The values beside an axis: each of a few, of many those that are about evenly spaced from the lowest to the highest."""
    by_place = dict(sorted(zip(places, column, strict=True), key=lambda pair: pair[0]))
    kept: list[float] = []
    for place in by_place:
        if not kept or place - kept[-1] >= 1 / MOST_MARKS:
            kept.append(place)
    if by_place and (highest := max(by_place)) not in kept:
        kept[-1] = highest
    return [
        {"x": axis, "y": place, "text": _figure(by_place[place]), "showarrow": False, "xanchor": "left", "xshift": 9}
        for place in kept
    ]


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _places(column: Sequence[Any]) -> list[float]:
    """Where each value lies on its axis, 0 to 1: numbers by size (by logarithm over a factor of ten), words in their order."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in column):
        words = sorted({str(value) for value in column})
        return [words.index(str(value)) / max(1, len(words) - 1) for value in column]
    numbers = [float(value) for value in column]
    if numbers and min(numbers) > 0 and max(numbers) / min(numbers) >= 10:
        numbers = [math.log(value) for value in numbers]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    return [(value - low) / (high - low) if high > low else 0.5 for value in numbers]

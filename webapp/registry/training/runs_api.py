"""The API of runs that have begun, below /api/v1/: notes, what curves say, lighter recipes, throughput, sweeps."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Field, Router, Schema, Status
from pydantic import Field as Limits

from webapp.accounts.access import access_workspace
from webapp.core.errors import NotFound
from webapp.core.paging import paginate
from webapp.jobs.access import access_job
from webapp.registry.models import Sweep
from webapp.registry.training import hardest, lighter, notes, reading, sweeps, throughput
from webapp.registry.training.api import RunOut, asker
from webapp.registry.training.runs import RUN_KINDS

router = Router()


class NoteIn(Schema):
    text: str = ""
    tags: list[str] = []


class NoteOut(Schema):
    text: str
    tags: list[str] = Field(alias="words")
    changed_at: datetime


class HintOut(Schema):
    """`tone`: good, info or warning; `settings`: what to try next, as the form posts it."""

    code: str
    tone: str
    text: str
    settings: dict[str, str]


class PieceOut(Schema):
    """`loss`: None where nothing is learnt."""

    text: str
    loss: float | None


class HardOut(Schema):
    loss: float
    pieces: list[PieceOut]


class PaceOut(Schema):
    """Tokens per second of one process and of all."""

    id: int
    name: str
    processes: int
    parameters: int
    tokens_per_second_each: float
    tokens_per_second: float


class ScalingOut(Schema):
    """`points`: (processes, share of the speed that as many separate processes would have)."""

    name: str
    points: list[tuple[int, float]]


class ThroughputOut(Schema):
    runs: list[PaceOut]
    scaling: list[ScalingOut]


class SweepIn(Schema):
    """`settings`: of the run; `axes`: setting → values as written in the form (`1e-4, 3e-4` or `1e-5..1e-3`)."""

    settings: dict[str, Any]
    axes: dict[str, str]
    order: str = Limits("grid", pattern="^(grid|random)$")
    count: int = Limits(8, ge=1, le=sweeps.MOST_RUNS)


class SweepOut(Schema):
    id: int
    name: str
    kind: str
    axes: dict[str, list[Any]]
    created_at: datetime


class SweepPage(Schema):
    items: list[SweepOut]
    next_cursor: str | None


class SweepRunOut(Schema):
    id: int
    state: str
    choice: dict[str, Any]
    loss: float | None
    held_out: float | None
    best: bool


class SweepTable(SweepOut):
    """`runs`: the best first, by `measure`."""

    measure: str
    runs: list[SweepRunOut]


@router.put("/training/runs/{job_id}/note", response=NoteOut)
def write_note(request: HttpRequest, job_id: int, payload: NoteIn) -> Any:
    """Replace note and tags of a run."""
    return notes.write_note(user=asker(request), job_id=job_id, text=payload.text, tags=",".join(payload.tags))


@router.get("/training/runs/{job_id}/reading", response=list[HintOut])
def read_run_curves(request: HttpRequest, job_id: int) -> Any:
    """What the curves of a run say: learnt by heart, too large a learning rate, stopped early …"""
    job = access_job(asker(request), job_id)
    if job.kind not in RUN_KINDS:
        raise NotFound
    return reading.read_curves(job)


@router.get("/training/runs/{job_id}/hardest", response=list[HardOut])
def read_hardest(request: HttpRequest, job_id: int) -> Any:
    """The held-out examples that a finished fine-tuning's model finds hardest, with the loss of each token."""
    job = access_job(asker(request), job_id)
    if job.kind not in RUN_KINDS:
        raise NotFound
    return hardest.hardest(job)


@router.post("/training/runs/{job_id}/lighter", response={202: RunOut})
def start_lighter(request: HttpRequest, job_id: int) -> Status:
    """After a run was out of memory: start it again by the next recipe down."""
    return Status(202, lighter.start_lighter(user=asker(request), job_id=job_id))


@router.get("/workspaces/{slug}/training/throughput", response=ThroughputOut)
def read_throughput(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Speed of the newest finished runs, and scaling efficiency where runs differ in their processes only (S7.1)."""
    found = throughput.paces(access_workspace(asker(request), slug))
    runs = [
        {
            "id": pace.job.pk,
            "name": pace.job.name,
            "processes": pace.processes,
            "parameters": pace.parameters,
            "tokens_per_second_each": pace.each,
            "tokens_per_second": pace.all,
        }
        for pace in found
    ]
    return {
        "runs": runs,
        "scaling": [{"name": name, "points": points} for name, points in throughput.efficiencies(found).items()],
    }


@router.post("/workspaces/{slug}/training/{kind}/sweeps", response={202: SweepOut})
def start_sweep(request: HttpRequest, slug: str, kind: str, payload: SweepIn) -> Status:
    """A run for every combination of values, or for so many drawn at random."""
    sweep = sweeps.start_sweep(
        user=asker(request),
        slug=slug,
        kind=kind,
        values=payload.settings,
        axes=payload.axes,
        order=payload.order,
        count=payload.count,
    )
    return Status(202, sweep)


@router.get("/workspaces/{slug}/sweeps", response=SweepPage)
def list_sweeps(request: HttpRequest, slug: str, cursor: str | None = None, limit: int = 50) -> Any:
    return paginate(sweeps.workspace_sweeps(access_workspace(asker(request), slug)), cursor=cursor, limit=limit)


def _with_runs(sweep: Sweep) -> dict[str, Any]:
    found = sweeps.table(sweep)
    runs = [
        {
            "id": row.job.pk,
            "state": row.job.state,
            "choice": row.run.choice,
            "loss": row.loss,
            "held_out": row.held_out,
            "best": row.best,
        }
        for row in found.rows
    ]
    facts = {name: getattr(sweep, name) for name in ("id", "name", "kind", "axes", "created_at")}
    return {**facts, "measure": found.measure, "runs": runs}


@router.get("/sweeps/{sweep_id}", response=SweepTable)
def read_sweep(request: HttpRequest, sweep_id: int) -> dict[str, Any]:
    return _with_runs(sweeps.access_sweep(asker(request), sweep_id))


@router.post("/sweeps/{sweep_id}/cancel", response=SweepTable)
def cancel_sweep(request: HttpRequest, sweep_id: int) -> dict[str, Any]:
    """Stop all runs that have not ended."""
    return _with_runs(sweeps.cancel_sweep(user=asker(request), sweep_id=sweep_id))

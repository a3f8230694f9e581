"""Jobs in the API: list, read, follow (events and metrics after a number), and act."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from webapp.accounts.access import access_workspace
from webapp.core.errors import translate
from webapp.core.paging import paginate
from webapp.jobs import queries, services
from webapp.jobs.access import access_job
from webapp.jobs.models import Job, JobEvent, MetricPoint, State

router = Router()
EVENT_LIMIT = 1000


class JobError(Schema):
    code: str
    message: str


class JobOut(Schema):
    id: int
    kind: str
    name: str
    state: State
    phase: str
    progress: float
    eta_seconds: float | None
    attempt: int
    priority: int
    spec: dict[str, Any]
    spec_hash: str
    result: dict[str, Any] | None
    error: JobError | None
    event_seq: int
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    child_started_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def resolve_error(job: Job) -> dict[str, str] | None:
        if not job.error_code:
            return None
        return {"code": job.error_code, "message": translate(job.error_template, job.error_params)}

    @staticmethod
    def resolve_created_by(job: Job) -> str | None:
        return job.created_by.username if job.created_by else None


class Jobs(Schema):
    items: list[JobOut]
    next_cursor: str | None


class EventOut(Schema):
    seq: int
    type: str
    at: datetime
    data: dict[str, Any]


class Events(Schema):
    items: list[EventOut]
    event_seq: int


class PointOut(Schema):
    name: str
    step: int
    value: float | None


class Metrics(Schema):
    items: list[PointOut]


class Log(Schema):
    text: str
    offset: int


class PriorityIn(Schema):
    priority: int


@router.get("/workspaces/{slug}/jobs", response=Jobs)
def list_jobs(
    request: HttpRequest, slug: str, state: str = "", kind: str = "", cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    workspace = access_workspace(request.user, slug)  # type: ignore[arg-type]
    jobs = queries.workspace_jobs(workspace)
    jobs = jobs.filter(state=state) if state else jobs
    jobs = jobs.filter(kind=kind) if kind else jobs
    found = paginate(jobs, cursor=cursor, limit=limit)
    return {"items": found.items, "next_cursor": found.next_cursor}


@router.get("/jobs/{job_id}", response=JobOut)
def get_job(request: HttpRequest, job_id: int) -> Job:
    return access_job(request.user, job_id)  # type: ignore[arg-type]


@router.get("/jobs/{job_id}/events", response=Events)
def list_events(request: HttpRequest, job_id: int, after: int = 0) -> dict[str, Any]:
    """Events with a number greater than `after`."""
    job = access_job(request.user, job_id)  # type: ignore[arg-type]
    return {"items": list(JobEvent.objects.filter(job=job, seq__gt=after)[:EVENT_LIMIT]), "event_seq": job.event_seq}


@router.get("/jobs/{job_id}/metrics", response=Metrics)
def list_metrics(request: HttpRequest, job_id: int, name: str = "loss", after: int = -1) -> dict[str, Any]:
    """Points of one curve with a step greater than `after`."""
    job = access_job(request.user, job_id)  # type: ignore[arg-type]
    points = MetricPoint.objects.filter(job=job, name=name, step__gt=after).order_by("step")
    return {"items": list(points[:EVENT_LIMIT])}


@router.get("/jobs/{job_id}/log", response=Log)
def get_log(request: HttpRequest, job_id: int, after: int | None = None) -> dict[str, Any]:
    """The log from a byte offset (without one: its tail)."""
    text, offset = queries.read_log(access_job(request.user, job_id), after=after)  # type: ignore[arg-type]
    return {"text": text, "offset": offset}


@router.post("/jobs/{job_id}/cancel", response=JobOut)
def cancel(request: HttpRequest, job_id: int) -> Job:
    return services.cancel_job(user=request.user, job_id=job_id)  # type: ignore[arg-type]


@router.post("/jobs/{job_id}/pause", response=JobOut)
def pause(request: HttpRequest, job_id: int) -> Job:
    return services.pause_job(user=request.user, job_id=job_id)  # type: ignore[arg-type]


@router.post("/jobs/{job_id}/resume", response=JobOut)
def resume(request: HttpRequest, job_id: int) -> Job:
    """Go on with a paused job, or retry one that failed or was cancelled, from its last checkpoint."""
    return services.resume_job(user=request.user, job_id=job_id)  # type: ignore[arg-type]


@router.post("/jobs/{job_id}/clone", response={201: JobOut})
def clone(request: HttpRequest, job_id: int) -> Status[Job]:
    return Status(201, services.clone_job(user=request.user, job_id=job_id))  # type: ignore[arg-type]


@router.post("/jobs/{job_id}/priority", response=JobOut)
def set_priority(request: HttpRequest, job_id: int, body: PriorityIn) -> Job:
    return services.move_job(user=request.user, job_id=job_id, priority=body.priority)  # type: ignore[arg-type]


@router.delete("/jobs/{job_id}", response={204: None})
def delete(request: HttpRequest, job_id: int) -> Status[None]:
    services.delete_job(user=request.user, job_id=job_id)  # type: ignore[arg-type]
    return Status(204, None)

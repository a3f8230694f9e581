"""The queue page and the page of a job."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, error_html
from webapp.core.paging import paginate
from webapp.core.streaming import send_file
from webapp.jobs import paths, queries, services, workers_alive
from webapp.jobs.access import access_job
from webapp.jobs.kinds import all_kinds, get_kind
from webapp.jobs.models import ENDED, Artifact, Job, JobEvent, State

ACTIONS: dict[str, Callable[..., Any]] = {
    "cancel": services.cancel_job,
    "pause": services.pause_job,
    "resume": services.resume_job,
    "clone": services.clone_job,
}


@require_safe
@workspace_page()
def job_list(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    jobs = queries.workspace_jobs(workspace)
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    ended = jobs.filter(state__in=[*ENDED, State.PAUSED])
    if kind:
        ended = ended.filter(kind=kind)
    if state:
        ended = ended.filter(state=state)
    context = {
        "running": queries.running_jobs(workspace),
        "waiting": queries.waiting_jobs(workspace),
        "ended": paginate(ended, cursor=request.GET.get("cursor"), limit=30),
        "kinds": all_kinds(),
        "kind": kind,
        "state": state,
        "states": [(value, State(value).label) for value in [*ENDED, State.PAUSED]],
        "worker_missing": not workers_alive.any_alive(),
    }
    if request.headers.get("HX-Request"):
        return render(request, "jobs/_queue.html", {"workspace": workspace, **context})
    return page(request, "jobs/list.html", workspace, "jobs", **context)


def job_context(request: HttpRequest, workspace: Workspace, job_id: int) -> dict[str, Any]:
    job = access_job(request.user, job_id)  # type: ignore[arg-type]
    if job.workspace_id != workspace.pk:
        raise NotFound
    kind = get_kind(job.kind)
    warnings = JobEvent.objects.filter(job=job, type="warning").order_by("seq")[:20]
    return {
        "job": job,
        "kind": kind,
        "error": error_html(job.error_template, job.error_params),
        "made": kind.page(job) if job.state == State.DONE else None,
        "position": next((entry for entry in queries.waiting_jobs(workspace) if entry.job.pk == job.pk), None)
        if job.state == State.QUEUED
        else None,
        "warnings": [error_html(str(event.data.get("template", "")), event.data.get("params") or {}) for event in warnings],
        "may_act": may(request.user, workspace, Role.ANNOTATOR),  # type: ignore[arg-type]
    }


@require_safe
@workspace_page()
def job_page(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    context = job_context(request, workspace, job_id)
    job, kind = context["job"], context["kind"]
    if request.headers.get("HX-Request"):
        return render(request, "jobs/_status.html", {"workspace": workspace, **context})
    log, offset = queries.read_log(job)
    context |= {
        "metric_names": queries.metric_names(job) or kind.curves,
        "log": log,
        "log_offset": offset,
        "artifacts": Artifact.objects.filter(job=job).order_by("name"),
        "spec": sorted(job.spec.items()),
        "topic": f"job.{job.pk}",
        "clones": job.clones.order_by("id"),
        **kind.context(job),
    }
    return page(request, "jobs/job.html", workspace, kind.nav, charts=True, **context)


@require_safe
@workspace_page()
def job_log(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponseBase:
    """The log's tail as a fragment; `?raw=1` downloads the file."""
    job = job_context(request, workspace, job_id)["job"]
    if request.GET.get("raw"):
        path = paths.log_file(job.pk)
        if not path.exists():
            raise NotFound
        return send_file(request, path, name=f"job-{job.pk}.log", content_type="text/plain")
    log, _offset = queries.read_log(job)
    return render(request, "jobs/_log.html", {"workspace": workspace, "job": job, "log": log})


@require_safe
@workspace_page()
def job_figure(request: HttpRequest, workspace: Workspace, job_id: int, names: str) -> HttpResponse:
    """Curves by name, several joined by a comma, as a plotly figure."""
    job = job_context(request, workspace, job_id)["job"]
    return JsonResponse(queries.metric_figure(job, names.split(",")[:8]))


@require_safe
@workspace_page()
def job_artifact(request: HttpRequest, workspace: Workspace, job_id: int, name: str) -> HttpResponseBase:
    job = job_context(request, workspace, job_id)["job"]
    artifact = Artifact.objects.filter(job=job, name=name).first()
    path = queries.artifact_path(job, artifact.path) if artifact else None
    if path is None or not path.is_file():
        raise NotFound
    return send_file(request, path, name=path.name, content_type="application/octet-stream")


@require_POST
@workspace_page(role=Role.ANNOTATOR)
def job_action(request: HttpRequest, workspace: Workspace, job_id: int, action: str) -> HttpResponse:
    if action not in ACTIONS:
        raise NotFound
    job: Job = ACTIONS[action](user=request.user, job_id=job_id)
    return redirect("job", workspace.slug, job.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def job_priority(request: HttpRequest, workspace: Workspace, job_id: int, step: str) -> HttpResponse:
    job = access_job(request.user, job_id, role=Role.MANAGER)  # type: ignore[arg-type]
    services.move_job(user=request.user, job_id=job_id, priority=job.priority + (1 if step == "up" else -1))  # type: ignore[arg-type]
    return redirect("jobs", workspace.slug)


@require_POST
@workspace_page(role=Role.MANAGER)
def job_delete(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    services.delete_job(user=request.user, job_id=job_id)  # type: ignore[arg-type]
    return redirect("jobs", workspace.slug)

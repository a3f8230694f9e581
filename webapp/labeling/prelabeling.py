"""Pre-labels as a job: a deployed model, ours or behind an endpoint, proposes answers to the open tasks of a project."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Role, User
from webapp.core.errors import NotFound, UserError
from webapp.jobs import paths
from webapp.jobs.kinds import JobKind, register
from webapp.jobs.models import Job
from webapp.jobs.services import submit_job
from webapp.labeling.access import access_project
from webapp.labeling.models import LabelProject, Task
from webapp.labeling.predicting import Proposed, reorder, store_predictions
from webapp.serving.access import access_deployment
from webapp.serving.models import Deployment, Health
from webapp.serving.upstream import find_upstream
from workers.prelabel.asking import ASKABLE
from workers.spec.prelabel import PrelabelSpec
from workers.spec.run import FileInput, ModelInput

KEY_VARIABLE = "SHUYUAN_ENDPOINT_KEY"
CHUNK = 1000


def start_prelabel(
    *, user: User, project_id: int, deployment_id: int, limit: int = 1000, reorder_after: bool = True, version: str = ""
) -> Job:
    """Let a deployment propose answers to the next `limit` open tasks. `version` tags the predictions; else name and time."""
    project = access_project(user, project_id, role=Role.MANAGER)
    deployment = access_deployment(user, deployment_id, role=Role.ANNOTATOR)
    if deployment.workspace_id != project.workspace_id:
        raise NotFound
    fields = [field for field in project.schema["fields"] if field["type"] in ASKABLE]
    if not fields:
        raise UserError("prelabel.nothing_to_ask", "None of the questions is one that a language model can answer.", status=422)
    if not 1 <= limit <= 100_000:
        raise UserError("prelabel.bad_limit", "Choose between 1 and 100,000 tasks.", status=422)
    if deployment.health != Health.READY:
        raise UserError("prelabel.not_ready", "“{name}” does not run; start it first.", status=409, name=deployment.name)
    moment = timezone.localtime().strftime("%Y-%m-%d %H:%M")
    spec = PrelabelSpec(
        project=project.pk,
        deployment=deployment.pk,
        version=" ".join(version.split())[:120] or f"{deployment.name} · {moment}",
        fields=fields,
        limit=limit,
        reorder=reorder_after,
    )
    name = f"{project.name} · {deployment.name}"
    return submit_job(user=user, workspace=project.workspace, kind="prelabel", spec=spec, name=name)


def _project(job: Job) -> LabelProject:
    found = LabelProject.objects.filter(pk=job.spec["project"], workspace=job.workspace_id).first()
    if found is None:
        raise NotFound("label.project_gone", "The label project that this job needs has been deleted.")
    return found


def _deployment(job: Job) -> Deployment:
    found = Deployment.objects.select_related("model").filter(pk=job.spec["deployment"], workspace=job.workspace_id).first()
    if found is None:
        raise NotFound("prelabel.deployment_gone", "The deployment that this job needs has been deleted.")
    return found


def inputs(job: Job) -> dict[str, Any]:
    """The open tasks as a file, and where the model answers."""
    deployment = _deployment(job)
    upstream = find_upstream(deployment)
    host = urlsplit(upstream.base).hostname or ""
    model = ModelInput(
        id=deployment.model_id,
        name=deployment.name,
        base_url=upstream.base,
        addresses=list(upstream.target.addresses) if upstream.target else [host],
        remote_name=upstream.model,
    )
    path = paths.run_dir(job.pk) / "tasks.jsonl"
    if not path.exists():
        _write_tasks(_project(job), int(job.spec["limit"]), path)
    return {"model": model, "tasks": FileInput(name="tasks.jsonl", path=path)}


def _write_tasks(project: LabelProject, limit: int, path: Path) -> None:
    """Written once: a job that goes on after a stop asks about the same tasks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        for task in _open_tasks(project, limit):
            file.write(json.dumps({"task": task.pk, "data": task.data}, ensure_ascii=False) + "\n")
    unfinished.replace(path)


def _open_tasks(project: LabelProject, limit: int) -> Iterator[Task]:
    last, left = -1, limit
    while left > 0:
        chunk = Task.objects.filter(project=project, open_slots__gt=0, position__gt=last).order_by("position")
        tasks = list(chunk[: min(CHUNK, left)])
        if not tasks:
            return
        yield from tasks
        last, left = tasks[-1].position, left - len(tasks)


def environment(job: Job) -> dict[str, str]:
    key = find_upstream(_deployment(job)).key
    return {KEY_VARIABLE: key} if key else {}


def finished(job: Job) -> None:
    """Store what the model proposed; repeating it changes nothing."""
    project = _project(job)
    store_predictions(project, job.spec["version"], _proposed(paths.output_dir(job.pk) / "predictions.jsonl"))
    if job.spec["reorder"]:
        project.refresh_from_db()
        reorder(project)


def _proposed(path: Path) -> Iterator[Proposed]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            if line["value"]:
                yield Proposed(value=line["value"], score=line["score"], task=line["task"])


def page(job: Job) -> str | None:
    found = LabelProject.objects.filter(pk=job.spec["project"], workspace=job.workspace_id).first()
    return reverse("label_dashboard", args=[job.workspace.slug, found.pk]) if found else None


register(
    JobKind(
        name="prelabel",
        label=_("Pre-labels"),
        spec=PrelabelSpec,
        program="workers.prelabel",
        resource="light",
        icon="tags",
        nav="labeling",
        inputs=inputs,
        environment=environment,
        finished=finished,
        page=page,
    )
)

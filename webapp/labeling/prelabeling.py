"""Pre-labels as a job: a deployed model, ours or behind an endpoint, proposes answers to the open tasks of a project."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal
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
from webapp.labeling.outcomes import is_held_out, task_outcomes
from webapp.labeling.predicting import Proposed, reorder, store_predictions
from webapp.serving.access import access_deployment
from webapp.serving.models import Deployment, Health
from webapp.serving.upstream import find_upstream
from workers.prelabel.asking import ASKABLE
from workers.spec.prelabel import PrelabelSpec
from workers.spec.run import FileInput, ModelInput

KEY_VARIABLE = "SHUYUAN_ENDPOINT_KEY"
CHUNK = 1000
HELD_OUT_PERCENT = 10
"""Labelled tasks that rounds of learning keep aside, to see how often a model is right."""


def start_prelabel(
    *,
    user: User,
    project_id: int,
    deployment_id: int,
    limit: int = 1000,
    reorder_after: bool = True,
    version: str = "",
    wording: Literal["asked", "learnt"] = "asked",
    known: int = 0,
    fields: list[dict[str, Any]] | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Let a deployment propose answers to the next `limit` open tasks. `version` tags the predictions; else name and time.

    `fields`: the questions that are asked (all that a language model can answer). `wording` and `known`: see `PrelabelSpec`.
    """
    project = access_project(user, project_id, role=Role.MANAGER)
    deployment = access_deployment(user, deployment_id, role=Role.ANNOTATOR)
    if deployment.workspace_id != project.workspace_id:
        raise NotFound
    asked = fields or [field for field in project.schema["fields"] if field["type"] in ASKABLE]
    if not asked:
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
        fields=asked,
        limit=limit,
        reorder=reorder_after,
        wording=wording,
        known=known,
    )
    name = f"{project.name} · {deployment.name}"
    return submit_job(
        user=user, workspace=project.workspace, kind="prelabel", spec=spec, name=name, idempotency_key=idempotency_key
    )


def project_of(job: Job) -> LabelProject:
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
        project = project_of(job)
        known = held_out_tasks(project, int(job.spec.get("known", 0)))
        write_lines(path, map(task_line, chain(known, open_tasks(project, int(job.spec["limit"])))))
    return {"model": model, "tasks": FileInput(name="tasks.jsonl", path=path)}


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """All or nothing, so that a job that goes on after a stop finds the same tasks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    unfinished.replace(path)


def task_line(task: Task) -> dict[str, Any]:
    return {"task": task.pk, "data": task.data}


def held_out_tasks(project: LabelProject, most: int) -> Iterator[Task]:
    """Answered tasks that no model learnt, up to `most`."""
    found = (task for task, answers in task_outcomes(project) if answers is not None and is_held_out(task, HELD_OUT_PERCENT))
    return islice(found, most)


def open_tasks(project: LabelProject, limit: int) -> Iterator[Task]:
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
    project = project_of(job)
    store_predictions(project, job.spec["version"], proposed(paths.output_dir(job.pk) / "predictions.jsonl"))
    if job.spec["reorder"]:
        project.refresh_from_db()
        reorder(project)


def proposed(path: Path) -> Iterator[Proposed]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            if line["value"]:
                yield Proposed(value=line["value"], score=line["score"], task=line["task"], ranked=line.get("ranked"))


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

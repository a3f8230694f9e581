"""The job kind `assist`: the quick assistant learns from the labels of a project and proposes answers to its open tasks."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.jobs import paths
from webapp.jobs.kinds import JobKind, register
from webapp.jobs.models import Job
from webapp.labeling.models import LabelProject, Prediction, PredictionSource
from webapp.labeling.outcomes import task_outcomes
from webapp.labeling.predicting import reorder, store_predictions
from webapp.labeling.prelabeling import open_tasks, project_of, proposed, task_line, write_lines
from workers.spec.prelabel import AssistSpec
from workers.spec.run import FileInput


def inputs(job: Job) -> dict[str, Any]:
    """What was labelled and what is open, written once: a job that goes on after a stop learns the same."""
    project = project_of(job)
    folder = paths.run_dir(job.pk)
    labelled, tasks = folder / "labelled.jsonl", folder / "tasks.jsonl"
    if not labelled.exists():
        write_lines(labelled, _labelled(project, {field["name"] for field in job.spec["fields"]}))
    if not tasks.exists():
        write_lines(tasks, map(task_line, open_tasks(project, int(job.spec["limit"]))))
    return {"labelled": FileInput(name=labelled.name, path=labelled), "tasks": FileInput(name=tasks.name, path=tasks)}


def _labelled(project: LabelProject, names: set[str]) -> Iterator[dict[str, Any]]:
    for task, answers in task_outcomes(project):
        known = {name: value for name, value in (answers or {}).items() if name in names}
        if known:
            yield {**task_line(task), "answers": known}


def finished(job: Job) -> None:
    """Store the proposals and give people the least sure ones first; repeating it changes nothing."""
    project = project_of(job)
    store_predictions(project, job.spec["version"], proposed(paths.output_dir(job.pk) / "predictions.jsonl"))
    project.refresh_from_db()
    discard_former(project, job.spec["version"])
    if job.spec["reorder"]:
        reorder(project)


def discard_former(project: LabelProject, newest: str) -> None:
    """Proposals of earlier rounds would stand beside the better ones; those that somebody was shown are kept.

    In portions: a project may have a hundred thousand of them.
    """
    former = PredictionSource.objects.filter(project=project, rounds__isnull=False).exclude(name=newest)
    stale = Prediction.objects.filter(source__in=former, task__open_slots__gt=0, task__leases=None, task__annotations=None)
    while chunk := list(stale.order_by("pk").values_list("pk", flat=True)[:5000]):
        with transaction.atomic():
            Prediction.objects.filter(pk__in=chunk).delete()


def page(job: Job) -> str | None:
    found = LabelProject.objects.filter(pk=job.spec["project"], workspace=job.workspace_id).first()
    return reverse("label_learning", args=[job.workspace.slug, found.pk]) if found else None


register(
    JobKind(
        name="assist",
        label=_("Quick assistant"),
        spec=AssistSpec,
        program="workers.prelabel",
        resource="light",
        icon="tags",
        nav="labeling",
        inputs=inputs,
        finished=finished,
        page=page,
    )
)

"""Adjudication: where people differ, somebody sees their answers side by side and says what counts."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from webapp.accounts.models import Role, User
from webapp.datasets.words import clean
from webapp.labeling import webhooks
from webapp.labeling.access import access_project, access_task
from webapp.labeling.models import Adjudication, Annotation, LabelProject, Task
from webapp.labeling.schema import checked_value
from webapp.labeling.work.showing import data_for_page

MOST_SHOWN = 20
MOST_COUNTED = 1000


@dataclass(frozen=True)
class Dispute:
    """What an adjudicator is shown; `who` is a letter where the project is blind."""

    project: LabelProject
    waiting: int
    done: int
    task: Task | None = None
    annotations: tuple[Annotation, ...] = ()
    decided: Adjudication | None = None

    def payload(self) -> dict[str, Any]:
        progress = {"done": self.done, "total": self.done + self.waiting, "mine": self.done, "waiting": self.waiting}
        if self.task is None:
            return {"empty": {"reason": "done", "next_free_at": None}, "progress": progress}
        shown = {
            "id": self.task.pk,
            "kind": "adjudicate",
            "data": data_for_page(self.project, self.task),
            "position": self.task.position + 1,
            "agreement": self.task.agreement,
            "annotations": [
                {"id": one.pk, "who": name_of(self.project, index, one), "value": one.value, "skipped": one.skipped}
                for index, one in enumerate(self.annotations)
            ],
        }
        draft = {"value": self.decided.value} if self.decided else None
        return {"task": shown, "draft": draft, "lease": {"expires_at": None}, "progress": progress}


def name_of(project: LabelProject, index: int, annotation: Annotation) -> str:
    return chr(ord("A") + index % 26) if project.blind else str(annotation.user or "")


def next_dispute(*, user: User, project_id: int, after: int = 0) -> Dispute:
    """The first disputed task behind position `after` (counted from 1), and then from the beginning."""
    project = access_project(user, project_id, role=Role.REVIEWER)
    disputed = Task.objects.filter(project=project, is_disputed=True).order_by("position")
    task = disputed.filter(position__gte=after).first() or disputed.first()
    return _shown(project, task)


def dispute(*, user: User, task_id: int) -> Dispute:
    """The answers to any task, side by side."""
    task = access_task(user, task_id, role=Role.REVIEWER)
    return _shown(task.project, task)


def _shown(project: LabelProject, task: Task | None) -> Dispute:
    done = Adjudication.objects.filter(project=project, is_current=True).count()
    if task is None:
        return Dispute(project, 0, done)
    given = Annotation.objects.filter(task=task, is_current=True, skipped=False).select_related("user").order_by("pk")
    decided = Adjudication.objects.filter(task=task, is_current=True).first()
    return Dispute(project, waiting(project), done, task, tuple(given[:MOST_SHOWN]), decided)


def waiting(project: LabelProject) -> int:
    disputed = Task.objects.filter(project=project, is_disputed=True).order_by("position")
    return len(disputed.values_list("pk", flat=True)[:MOST_COUNTED])


def adjudicate(*, user: User, task_id: int, value: Any, note: str = "") -> Adjudication:
    """Say what counts for a task. What people said stays, and so do earlier decisions."""
    task = access_task(user, task_id, role=Role.REVIEWER)
    checked = checked_value(task.project.schema, value, task.data)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=task.pk)
        Adjudication.objects.filter(task=task, is_current=True).update(is_current=False)
        Task.objects.filter(pk=task.pk).update(is_disputed=False)
        made = Adjudication.objects.create(
            project_id=task.project_id, task=task, user=user, value=checked, note=clean(note).strip()
        )
        webhooks.tell(task.project, "task.adjudicated", {"task": task.pk, "value": checked, "note": made.note})
        return made

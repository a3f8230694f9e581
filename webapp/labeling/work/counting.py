"""The counters that spare every page a COUNT: of projects, people, days and labels; and the slots of tasks."""

from collections import Counter

from django.db.models import F
from django.utils import timezone

from webapp.accounts.models import User
from webapp.labeling.models import Annotation, Contribution, DailyCount, LabelCount, LabelProject, Task
from webapp.labeling.schema import labels_of


def change_slots(task: Task, change: int) -> int:
    """Give (+) or take (-) slots of a locked task; returns by how much the project's done tasks changed, and counts it.

    Those who have passed the task in the order find it by `is_reopened`.
    """
    done = move_slots(task, change)
    if done:
        LabelProject.objects.filter(pk=task.project_id).update(done_count=F("done_count") + done)
    return done


def move_slots(task: Task, change: int) -> int:
    """As `change_slots`, but the caller counts: a task is done when its last slot is taken, and open when one is given back."""
    again = {"is_reopened": True} if change > 0 else {}
    Task.objects.filter(pk=task.pk).update(open_slots=F("open_slots") + change, **again)
    was_open, task.open_slots = task.open_slots > 0, task.open_slots + change
    return int(was_open) - int(task.open_slots > 0)


def count(project: LabelProject, user: User, former: Annotation | None, stored: Annotation, done: int) -> None:
    """What a submit changes; `done` is by how much the done tasks change."""
    submitted = int(not stored.skipped) - int(former is not None and not former.skipped)
    skipped = int(stored.skipped) - int(former is not None and former.skipped)
    if submitted or skipped or done:
        LabelProject.objects.filter(pk=project.pk).update(
            annotation_count=F("annotation_count") + submitted,
            skip_count=F("skip_count") + skipped,
            done_count=F("done_count") + done,
        )
    changes = {
        "submitted": F("submitted") + submitted,
        "skipped": F("skipped") + skipped,
        "lead_time_ms": F("lead_time_ms") + (stored.lead_time_ms or 0),
        "last_at": timezone.now(),
        "back": None,
    }
    if not Contribution.objects.filter(project=project, user=user).update(**changes):
        Contribution.objects.get_or_create(project=project, user=user)
        Contribution.objects.filter(project=project, user=user).update(**changes)
    if submitted > 0:
        _count_day(project, user, stored.lead_time_ms or 0)
    if not stored.is_gold:
        count_labels(project, former, stored)


def _count_day(project: LabelProject, user: User, lead_time_ms: int) -> None:
    today = DailyCount.objects.filter(project=project, user=user, day=timezone.localdate())
    changes = {"submitted": F("submitted") + 1, "lead_time_ms": F("lead_time_ms") + lead_time_ms}
    if not today.update(**changes):
        DailyCount.objects.get_or_create(project=project, user=user, day=timezone.localdate())
        today.update(**changes)


def count_labels(project: LabelProject, former: Annotation | None, stored: Annotation | None) -> None:
    changes: Counter[tuple[str, str]] = labels_of(stored.value if stored else [])
    changes.subtract(labels_of(former.value if former else []))
    for (field, value), change in sorted(changes.items()):
        if change:
            counted = LabelCount.objects.filter(project=project, field=field, value=value)
            if not counted.update(count=F("count") + change):
                LabelCount.objects.get_or_create(project=project, field=field, value=value)
                counted.update(count=F("count") + change)

"""The counters that spare every page a COUNT: of projects, people, days and labels; and the slots of tasks."""

from collections import Counter

from django.db.models import F
from django.utils import timezone

from webapp.accounts.models import User
from webapp.labeling.models import Annotation, Contribution, LabelProject, Task
from webapp.labeling.schema import labels_of
from webapp.labeling.statements import change

TAKE_SLOTS = "UPDATE labeling_task SET open_slots = open_slots + %s WHERE id = %s"
GIVE_SLOTS = "UPDATE labeling_task SET open_slots = open_slots + %s, is_reopened = %s WHERE id = %s"
COUNT_IN_PROJECT = (
    "UPDATE labeling_labelproject SET annotation_count = annotation_count + %s, skip_count = skip_count + %s, "
    "done_count = done_count + %s WHERE id = %s"
)
COUNT_FOR_PERSON = (
    "UPDATE labeling_contribution SET submitted = submitted + %s, skipped = skipped + %s, lead_time_ms = lead_time_ms + %s, "
    "last_at = %s, back = NULL WHERE project_id = %s AND user_id = %s"
)
COUNT_DAY = (
    "INSERT INTO labeling_dailycount (project_id, user_id, day, submitted, lead_time_ms) VALUES (%s, %s, %s, 1, %s) "
    "ON CONFLICT (project_id, user_id, day) DO UPDATE SET submitted = labeling_dailycount.submitted + 1, "
    "lead_time_ms = labeling_dailycount.lead_time_ms + excluded.lead_time_ms"
)
COUNT_LABEL = (
    "INSERT INTO labeling_labelcount (project_id, field, value, count) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (project_id, field, value) DO UPDATE SET count = labeling_labelcount.count + excluded.count"
)


def change_slots(task: Task, number: int) -> int:
    """Give (+) or take (-) slots of a locked task; returns by how much the project's done tasks changed, and counts it.

    Those who have passed the task in the order find it by `is_reopened`.
    """
    done = move_slots(task, number)
    if done:
        LabelProject.objects.filter(pk=task.project_id).update(done_count=F("done_count") + done)
    return done


def move_slots(task: Task, number: int) -> int:
    """As `change_slots`, but the caller counts: a task is done when its last slot is taken, and open when one is given back."""
    if number > 0:
        change(GIVE_SLOTS, number, True, task.pk)
    else:
        change(TAKE_SLOTS, number, task.pk)
    was_open, task.open_slots = task.open_slots > 0, task.open_slots + number
    return int(was_open) - int(task.open_slots > 0)


def count(project: LabelProject, user: User, former: Annotation | None, stored: Annotation, done: int) -> None:
    """What a submit changes; `done` is by how much the done tasks change."""
    submitted = int(not stored.skipped) - int(former is not None and not former.skipped)
    skipped = int(stored.skipped) - int(former is not None and former.skipped)
    lead_time_ms = stored.lead_time_ms or 0
    if submitted or skipped or done:
        change(COUNT_IN_PROJECT, submitted, skipped, done, project.pk)
    counted = (submitted, skipped, lead_time_ms, timezone.now(), project.pk, user.pk)
    if not change(COUNT_FOR_PERSON, *counted):
        Contribution.objects.get_or_create(project=project, user=user)
        change(COUNT_FOR_PERSON, *counted)
    if submitted > 0:
        change(COUNT_DAY, project.pk, user.pk, timezone.localdate(), lead_time_ms)
    if not stored.is_gold:
        count_labels(project, former, stored)


def count_labels(project: LabelProject, former: Annotation | None, stored: Annotation | None) -> None:
    changes: Counter[tuple[str, str]] = labels_of(stored.value if stored else [])
    changes.subtract(labels_of(former.value if former else []))
    for (field, value), number in sorted(changes.items()):
        if number:
            change(COUNT_LABEL, project.pk, field, value, number)

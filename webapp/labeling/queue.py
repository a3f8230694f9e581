"""Who gets which task: leases claimed in one transaction, renewed by heartbeats, returned, or judged expired at the next claim.

The rules are those of the brief: a claim is atomic and idempotent; a person never gets a task twice; the order is own
live lease, own draft, then priority and position behind the last task handed out; an empty queue says why.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, F, IntegerField, Min, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.core.errors import UserError
from webapp.labeling.access import access_project, access_task
from webapp.labeling.models import Annotation, Contribution, Draft, LabelProject, Task, TaskLease

LEASE = timedelta(minutes=10)
TRIES = 20


@dataclass(frozen=True)
class Turn:
    """What a person is shown: a task with its lease and draft, or why there is none."""

    project: LabelProject
    contribution: Contribution
    task: Task | None = None
    expires_at: datetime | None = None
    draft: Any = None
    revision: int | None = None
    reason: str = ""
    next_free_at: datetime | None = None
    leased: int = 0

    def payload(self) -> dict[str, Any]:
        """The answer that the labelling page works with."""
        progress = {
            "done": self.project.done_count,
            "total": self.project.task_total,
            "mine": self.contribution.submitted,
        }
        if self.task is None:
            free = self.next_free_at.isoformat() if self.next_free_at else None
            return {"empty": {"reason": self.reason, "next_free_at": free, "leased": self.leased}, "progress": progress}
        task: dict[str, Any] = {"id": self.task.pk, "data": self.task.data, "position": self.task.position + 1}
        if self.revision is not None:
            task["revision"] = self.revision
        expires = self.expires_at.isoformat() if self.expires_at else None
        return {"task": task, "draft": self.draft, "lease": {"expires_at": expires}, "progress": progress}


def next_task(*, user: User, project_id: int) -> Turn:
    """The task that the person holds, or a newly claimed one."""
    project = access_project(user, project_id, role=Role.ANNOTATOR)
    if not project.is_open:
        raise UserError("label.closed", "“{name}” is closed; ask a manager to open it again.", status=409, name=project.name)
    with transaction.atomic():
        contribution = own_contribution(project, user)
        task = _held(project, user) or _claim(project, user, contribution)
        if task is None:
            turn = _why_empty(project, user, contribution)
        else:
            expires_at = _lease(task, user)
            _move_cursor(contribution, task)
            draft = Draft.objects.filter(task=task, user=user).first()
            turn = Turn(project, contribution, task, expires_at, {"value": draft.value} if draft else None)
    return turn


def own_contribution(project: LabelProject, user: User) -> Contribution:
    found = Contribution.objects.filter(project=project, user=user).first()
    return found or Contribution.objects.get_or_create(project=project, user=user)[0]


def _held(project: LabelProject, user: User) -> Task | None:
    """Asking again gives the same task."""
    lease = TaskLease.objects.select_related("task").filter(task__project=project, user=user, expires_at__gt=timezone.now())
    held = lease.order_by("pk").first()
    return held.task if held else None


def _claim(project: LabelProject, user: User, contribution: Contribution) -> Task | None:
    """The first task with a free slot. Where rows are locked one by one, a slot may go between looking and locking; SQLite
    lets one writer in at a time."""
    for _ in range(TRIES):
        task = _candidate(project, user, contribution)
        if task is None or not _locks_rows() or free_slots(task, user) > 0:
            return task
    return None


def _candidate(project: LabelProject, user: User, contribution: Contribution) -> Task | None:
    """First what the person has begun, then what lies behind the cursor, then whatever was left before it."""
    free = _free_tasks(project, user)
    begun = Draft.objects.filter(user=user, task__project=project).values("task")
    searches: list[QuerySet[Task]] = [free.filter(pk__in=begun)]
    priority, position = contribution.cursor_priority, contribution.cursor_position
    if priority is not None and position is not None:
        searches += [free.filter(priority=priority, position__gt=position), free.filter(priority__lt=priority)]
    searches.append(free)
    for search in searches:
        if task := search.first():
            return task
    return None


def _free_tasks(project: LabelProject, user: User) -> QuerySet[Task]:
    """Tasks with a slot that nobody holds and that this person has not answered, in order."""
    answered = Annotation.objects.filter(task=OuterRef("pk"), user=user, is_current=True)
    live = TaskLease.objects.filter(task=OuterRef("pk"), expires_at__gt=timezone.now()).exclude(user=user)
    counted = live.order_by().values("task").annotate(count=Count("pk")).values("count")
    held = Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))
    tasks = Task.objects.filter(~Exists(answered), project=project, open_slots__gt=0).filter(open_slots__gt=held)
    tasks = tasks.order_by("-priority", "position")
    if _locks_rows():
        return tasks.select_for_update(skip_locked=True, of=("self",))
    return tasks


def _locks_rows() -> bool:
    return connection.features.has_select_for_update_skip_locked


def free_slots(task: Task, user: User) -> int:
    """Slots of a locked task that neither an annotation nor somebody else's live lease takes."""
    open_slots = Task.objects.values_list("open_slots", flat=True).get(pk=task.pk)
    held = TaskLease.objects.filter(task=task, expires_at__gt=timezone.now()).exclude(user=user).count()
    return open_slots - held


def _lease(task: Task, user: User) -> datetime:
    expires_at = timezone.now() + LEASE
    if not TaskLease.objects.filter(task=task, user=user).update(expires_at=expires_at):
        TaskLease.objects.create(task=task, user=user, expires_at=expires_at)
    return expires_at


def _move_cursor(contribution: Contribution, task: Task) -> None:
    Contribution.objects.filter(pk=contribution.pk).update(
        cursor_priority=task.priority, cursor_position=task.position, back=None
    )


def _why_empty(project: LabelProject, user: User, contribution: Contribution) -> Turn:
    """`done`, `all_leased` (others hold the rest until `next_free_at`), or `none_assigned` (the rest is not for this person)."""
    if project.task_count < project.task_total:
        return Turn(project, contribution, reason="all_leased", next_free_at=timezone.now())
    open_tasks = Task.objects.filter(project=project, open_slots__gt=0)
    answered = Annotation.objects.filter(task=OuterRef("pk"), user=user, is_current=True)
    if not open_tasks.filter(~Exists(answered)).exists():
        return Turn(project, contribution, reason="none_assigned" if open_tasks.exists() else "done")
    live = TaskLease.objects.filter(task__project=project, expires_at__gt=timezone.now())
    held = live.aggregate(first=Min("expires_at"), count=Count("pk"))
    return Turn(project, contribution, reason="all_leased", next_free_at=held["first"], leased=held["count"])


def heartbeat(*, user: User, task_id: int) -> datetime | None:
    """Renew the lease; an expired one too while its slot is still free. None: it is gone, and submitting still works."""
    task = access_task(user, task_id)
    with transaction.atomic():
        task = Task.objects.select_for_update().get(pk=task.pk)
        lease = TaskLease.objects.filter(task=task, user=user).first()
        if lease is None or (lease.expires_at <= timezone.now() and free_slots(task, user) < 1):
            return None
        return _lease(task, user)


def release(*, user: User, task_id: int) -> None:
    """Give the task back at once; it is the first that the same person gets again."""
    task = access_task(user, task_id)
    with transaction.atomic():
        deleted, _ = TaskLease.objects.filter(task=task, user=user).delete()
        if deleted:
            mine = Contribution.objects.filter(project_id=task.project_id, user=user, cursor_position=task.position)
            mine.update(cursor_position=F("cursor_position") - 1)


def save_draft(*, user: User, task_id: int, value: Any) -> Draft:
    """Keep unfinished work; it needs not be valid yet."""
    task = access_task(user, task_id)
    draft, _ = Draft.objects.update_or_create(task=task, user=user, defaults={"value": value})
    return draft


def discard_expired_leases() -> None:
    """A duty: claims judge expiry themselves, this only tidies."""
    TaskLease.objects.filter(Q(expires_at__lt=timezone.now() - 6 * LEASE)).delete()

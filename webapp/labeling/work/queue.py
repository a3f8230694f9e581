"""Who gets which task: leases claimed in one transaction, renewed by heartbeats, returned, or judged expired at the next claim.

The rules are those of the brief: a claim is atomic and idempotent; a person never gets a task twice; the order is own
live lease, then what `searching` finds; an empty queue says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, Min, OuterRef
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.core.errors import NotFound, UserError
from webapp.labeling.access import PROJECT, access_project, access_task
from webapp.labeling.models import Annotation, Contribution, Draft, LabelProject, Prediction, Review, ReviewState, Task, TaskLease
from webapp.labeling.predicting import predictions_for
from webapp.labeling.statements import change, first, writing
from webapp.labeling.work.searching import Found, find, free_slots, locks_rows, reopen
from webapp.labeling.work.showing import data_for_page

LEASE = timedelta(minutes=10)
TRIES = 20
TIDIED = 5000
CONTRIBUTION = "SELECT * FROM labeling_contribution WHERE project_id = %s AND user_id = %s"
HELD = (
    "SELECT l.* FROM labeling_tasklease l JOIN labeling_task t ON t.id = l.task_id "
    "WHERE t.project_id = %s AND l.user_id = %s AND l.expires_at > %s ORDER BY l.id LIMIT 1"
)
GIVE_LEASE = (
    "INSERT INTO labeling_tasklease (task_id, user_id, expires_at, takes_slot) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (task_id, user_id) DO UPDATE SET expires_at = excluded.expires_at, takes_slot = excluded.takes_slot"
)
MOVE_CURSOR = "UPDATE labeling_contribution SET back = NULL, cursor_priority = %s, cursor_position = %s WHERE id = %s"


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
    review: dict[str, Any] | None = None
    predictions: Sequence[Prediction] = ()

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
        task: dict[str, Any] = {
            "id": self.task.pk,
            "data": data_for_page(self.project, self.task),
            "position": self.task.position + 1,
        }
        task["kind"] = "label"
        if self.revision is not None:
            task["revision"] = self.revision
        if self.review is not None:
            task["review"] = self.review
        if self.predictions:
            task["predictions"] = [
                {
                    "id": one.pk,
                    "model": one.source.name,
                    "value": one.value,
                    "score": one.score,
                    **({"ranked": one.ranked} if one.ranked else {}),
                }
                for one in self.predictions
            ]
        expires = self.expires_at.isoformat() if self.expires_at else None
        return {"task": task, "draft": self.draft, "lease": {"expires_at": expires}, "progress": progress}


def next_task(*, user: User, project_id: int) -> Turn:
    """The task that the person holds, or a newly claimed one."""
    return turn_in(access_project(user, project_id, role=Role.ANNOTATOR), user)


def turn_after(stored: Annotation, user: User) -> Turn:
    """The next task of somebody who has just submitted and was let in for that."""
    project = first(LabelProject, PROJECT, stored.project_id)
    if project is None:
        raise NotFound
    return turn_in(project, user)


def turn_in(project: LabelProject, user: User) -> Turn:
    if not project.is_open:
        raise UserError("label.closed", "“{name}” is closed; ask a manager to open it again.", status=409, name=project.name)
    with writing():
        contribution = own_contribution(project, user)
        lease = _held(project, user)
        if lease is None and contribution.is_paused:
            return Turn(project, contribution, reason="paused")
        found = Found(lease.task, takes_slot=lease.takes_slot) if lease else _claim(project, user, contribution)
        if found is None:
            return _why_empty(project, user, contribution)
        expires_at = _lease(found.task, user, takes_slot=found.takes_slot)
        _move_cursor(contribution, found)
        return _turn(project, contribution, found, expires_at)


def _turn(project: LabelProject, contribution: Contribution, found: Found, expires_at: datetime) -> Turn:
    """With what there is already: a draft (which a task that came in the order cannot have), or the person's answer that a
    reviewer sent back."""
    task, user = found.task, contribution.user_id
    draft = None if found.moves_cursor else Draft.objects.filter(task=task, user_id=user).first()
    value = {"value": draft.value} if draft else None
    if found.takes_slot or task.gold is not None:
        return Turn(project, contribution, task, expires_at, value, predictions=predictions_for(project, task))
    review = Review.objects.filter(task=task, author_id=user, state=ReviewState.REJECTED, annotation__is_current=True)
    sent_back = review.select_related("annotation", "reviewer").first()
    if sent_back is None:
        return Turn(project, contribution, task, expires_at, value)
    annotation = sent_back.annotation
    reviewer = "" if project.blind else str(sent_back.reviewer or "")
    told = {"state": sent_back.state, "reason": sent_back.reason, "by": reviewer}
    value = value or {"value": annotation.value}
    return Turn(project, contribution, task, expires_at, value, revision=annotation.revision, review=told)


def own_contribution(project: LabelProject, user: User) -> Contribution:
    found = first(Contribution, CONTRIBUTION, project.pk, user.pk)
    return found or Contribution.objects.get_or_create(project=project, user=user)[0]


def _held(project: LabelProject, user: User) -> TaskLease | None:
    """Asking again gives the same task."""
    lease = first(TaskLease, HELD, project.pk, user.pk, timezone.now())
    if lease is not None:
        lease.task = Task.objects.get(pk=lease.task_id)
    return lease


def _claim(project: LabelProject, user: User, contribution: Contribution) -> Found | None:
    """The first task with a free slot. Where rows are locked one by one, a slot may go between looking and locking."""
    for _ in range(TRIES):
        found = find(project, user, contribution)
        if found is None or not locks_rows() or not found.takes_slot or free_slots(found.task, user) > 0:
            return found
    return None


def _lease(task: Task, user: User, *, takes_slot: bool = True) -> datetime:
    expires_at = timezone.now() + LEASE
    change(GIVE_LEASE, task.pk, user.pk, expires_at, takes_slot)
    return expires_at


def _move_cursor(contribution: Contribution, found: Found) -> None:
    if found.moves_cursor:
        change(MOVE_CURSOR, found.task.priority, found.task.position, contribution.pk)
    elif contribution.back is not None:
        Contribution.objects.filter(pk=contribution.pk).update(back=None)


def _why_empty(project: LabelProject, user: User, contribution: Contribution) -> Turn:
    """`done`, `all_leased` (others hold the rest until `next_free_at`), or `none_assigned` (the rest is not for this person)."""
    if project.task_count < project.task_total:
        return Turn(project, contribution, reason="all_leased", next_free_at=timezone.now())
    answered = Annotation.objects.filter(task=OuterRef("task"), user=user, is_current=True)
    held = TaskLease.objects.filter(
        ~Exists(answered), task__project=project, task__open_slots__gt=0, task__is_reserved=False, expires_at__gt=timezone.now()
    ).aggregate(first=Min("expires_at"), count=Count("pk"))
    if held["count"]:
        return Turn(project, contribution, reason="all_leased", next_free_at=held["first"], leased=held["count"])
    rest = Task.objects.filter(project=project, open_slots__gt=0).exists()
    return Turn(project, contribution, reason="none_assigned" if rest else "done")


def heartbeat(*, user: User, task_id: int) -> datetime | None:
    """Renew the lease; an expired one too while its slot is still free. None: it is gone, and submitting still works."""
    task = access_task(user, task_id)
    with transaction.atomic():
        task = Task.objects.select_for_update().get(pk=task.pk)
        lease = TaskLease.objects.filter(task=task, user=user).first()
        is_over = lease is not None and lease.takes_slot and lease.expires_at <= timezone.now()
        if lease is None or (is_over and free_slots(task, user) < 1):
            return None
        return _lease(task, user, takes_slot=lease.takes_slot)


def release(*, user: User, task_id: int) -> None:
    """Give the task back at once; it is the first that the same person gets again."""
    task = access_task(user, task_id)
    with transaction.atomic():
        deleted, _ = TaskLease.objects.filter(task=task, user=user).delete()
        if deleted:
            mine = Contribution.objects.filter(project_id=task.project_id, user=user, cursor_position=task.position)
            mine.update(cursor_position=F("cursor_position") - 1)
            reopen(task.pk)


def save_draft(*, user: User, task_id: int, value: Any) -> Draft:
    """Keep unfinished work; it needs not be valid yet."""
    task = access_task(user, task_id)
    draft, _ = Draft.objects.update_or_create(task=task, user=user, defaults={"value": value})
    return draft


def discard_expired_leases() -> None:
    """A duty: claims judge expiry themselves, this only tidies."""
    old = list(TaskLease.objects.filter(expires_at__lt=timezone.now() - 6 * LEASE).values_list("pk", "task_id")[:TIDIED])
    for task_id in {task_id for _, task_id in old}:
        reopen(task_id)
    TaskLease.objects.filter(pk__in=[lease for lease, _ in old], expires_at__lt=timezone.now()).delete()

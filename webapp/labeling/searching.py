"""Which task a person gets next. Every search goes through an index from where the person stands, so its cost does not
grow with what has been done: a task that becomes free behind people's backs is marked `is_reopened`, and nobody starts over.

Order: begun, assigned, sent back by a reviewer, gold question, then priority and position.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import Count, Exists, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from webapp.accounts.models import User
from webapp.labeling.models import Annotation, Assignment, Contribution, Draft, LabelProject, Review, ReviewState, Task, TaskLease

SWEEP_EVERY = timedelta(seconds=60)
GOLD_CONSIDERED = 200


@dataclass(frozen=True)
class Found:
    """`moves_cursor`: found by going on in the order. `takes_slot`: not for gold questions and answers sent back."""

    task: Task
    moves_cursor: bool = False
    takes_slot: bool = True


def find(project: LabelProject, user: User, contribution: Contribution) -> Found | None:
    free = free_tasks(project, user)
    begun = Draft.objects.filter(user=user, task__project=project).values("task")
    if task := free.filter(pk__in=begun).first():
        return Found(task)
    if found := _assigned(project, user, free):
        return found
    if found := _returned(project, user) or _gold(project, user, contribution):
        return found
    for task_query, moves in _in_order(project, free.filter(is_reserved=False), contribution):
        if task := task_query.first():
            return Found(task, moves_cursor=moves)
    return None


def _assigned(project: LabelProject, user: User, free: QuerySet[Task]) -> Found | None:
    if not project.has_assignments:
        return None
    mine = Assignment.objects.filter(project=project, user=user, is_done=False)
    task = free.filter(assignments__in=mine).first()
    return Found(task) if task else None


def _returned(project: LabelProject, user: User) -> Found | None:
    """An answer of this person that a reviewer sent back; nobody else can get it."""
    if not project.review_share:
        return None
    back = Review.objects.filter(project=project, author=user, state=ReviewState.REJECTED, annotation__is_current=True)
    review = back.select_related("task").order_by("pk").first()
    return Found(review.task, takes_slot=False) if review else None


def _gold(project: LabelProject, user: User, contribution: Contribution) -> Found | None:
    """A gold question, when one is due: at `gold_share` percent of the turns, which nobody can foresee."""
    if not project.gold_share:
        return None
    turn = f"{project.pk}:{user.pk}:{contribution.submitted}:{contribution.skipped}"
    number = int.from_bytes(hashlib.blake2b(turn.encode(), digest_size=8).digest(), "big")
    if number % 100 >= project.gold_share:
        return None
    answered = Annotation.objects.filter(task=OuterRef("pk"), user=user)
    unanswered = Task.objects.filter(~Exists(answered), project=project, gold__isnull=False).order_by("position")
    candidates = list(unanswered.values_list("pk", flat=True)[:GOLD_CONSIDERED])
    if not candidates:
        return None
    return Found(Task.objects.get(pk=candidates[number // 100 % len(candidates)]), takes_slot=False)


def _in_order(project: LabelProject, free: QuerySet[Task], contribution: Contribution) -> Iterator[tuple[QuerySet[Task], bool]]:
    """What became free again comes first where it is more urgent than what lies ahead; then on from where the person is."""
    priority, position = contribution.cursor_priority, contribution.cursor_position
    if priority is None or position is None:
        yield free, True
    else:
        if project.has_predictions:
            yield free.filter(is_reopened=True, priority__gt=priority), False
        yield free.filter(priority=priority, position__gt=position), True
        yield free.filter(priority__lt=priority), True
    yield free.filter(is_reopened=True), False
    expired = TaskLease.objects.filter(task__project=project, expires_at__lte=timezone.now()).values("task")
    yield free.filter(pk__in=expired), False
    if locks_rows() and (contribution.swept_at is None or contribution.swept_at < timezone.now() - SWEEP_EVERY):
        # Rows that somebody else has locked for a moment are passed by; now and then all are looked at.
        Contribution.objects.filter(pk=contribution.pk).update(swept_at=timezone.now())
        yield free, False


def free_tasks(project: LabelProject, user: User) -> QuerySet[Task]:
    """Tasks with a slot that nobody holds and that this person has not answered, in order."""
    answered = Annotation.objects.filter(task=OuterRef("pk"), user=user, is_current=True)
    live = TaskLease.objects.filter(task=OuterRef("pk"), expires_at__gt=timezone.now(), takes_slot=True).exclude(user=user)
    counted = live.order_by().values("task").annotate(count=Count("pk")).values("count")
    held = Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))
    tasks = Task.objects.filter(~Exists(answered), project=project, open_slots__gt=0).filter(open_slots__gt=held)
    tasks = tasks.order_by("-priority", "position")
    if locks_rows():
        return tasks.select_for_update(skip_locked=True, of=("self",))
    return tasks


def locks_rows() -> bool:
    """PostgreSQL locks single rows; SQLite lets one writer in at a time."""
    return connection.features.has_select_for_update_skip_locked


def free_slots(task: Task, user: User) -> int:
    """Slots of a locked task that neither an annotation nor somebody else's live lease takes."""
    open_slots = Task.objects.values_list("open_slots", flat=True).get(pk=task.pk)
    live = TaskLease.objects.filter(task=task, expires_at__gt=timezone.now(), takes_slot=True)
    return open_slots - live.exclude(user=user).count()


def reopen(task_id: int) -> None:
    """Make sure that people who have passed the task in the order find it again."""
    Task.objects.filter(pk=task_id, is_reopened=False).update(is_reopened=True)

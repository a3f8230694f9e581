"""Which task a person gets next. Every search goes through an index from where the person stands, so its cost does not
grow with what has been done: a task that becomes free behind people's backs is marked `is_reopened`, and nobody starts over.

Order: begun, assigned, sent back by a reviewer, gold question, then priority and position.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import Count, Exists, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from webapp.accounts.models import User
from webapp.labeling.models import Annotation, Assignment, Contribution, LabelProject, Review, ReviewState, Task, TaskLease
from webapp.labeling.statements import first, locking, rows

SWEEP_EVERY = timedelta(seconds=60)
GOLD_CONSIDERED = 200
DRAFTS_CONSIDERED = 100
BEGUN = (
    "SELECT d.task_id FROM labeling_draft d JOIN labeling_task t ON t.id = d.task_id "
    "WHERE t.project_id = %s AND d.user_id = %s ORDER BY d.id LIMIT %s"
)
FREE = (
    "SELECT t.* FROM labeling_task t WHERE t.project_id = %s AND t.open_slots > 0 AND NOT t.is_reserved "
    "AND NOT EXISTS (SELECT 1 FROM labeling_annotation a WHERE a.task_id = t.id AND a.user_id = %s AND a.is_current) "
    "AND t.open_slots > (SELECT COUNT(*) FROM labeling_tasklease l "
    "WHERE l.task_id = t.id AND l.takes_slot AND l.expires_at > %s AND l.user_id <> %s) "
    "{condition} ORDER BY t.priority DESC, t.position LIMIT 1"
)
EXPIRED = (
    "AND t.id IN (SELECT e.task_id FROM labeling_tasklease e JOIN labeling_task o ON o.id = e.task_id "
    "WHERE o.project_id = %s AND e.expires_at <= %s)"
)


@dataclass(frozen=True)
class Found:
    """`moves_cursor`: found by going on in the order. `takes_slot`: not for gold questions and answers sent back."""

    task: Task
    moves_cursor: bool = False
    takes_slot: bool = True


def find(project: LabelProject, user: User, contribution: Contribution) -> Found | None:
    if begun := _begun(project, user):
        return begun
    if project.has_assignments and (assigned := _assigned(project, user)):
        return assigned
    if found := _returned(project, user) or _gold(project, user, contribution):
        return found
    return _in_order(project, user, contribution)


def _begun(project: LabelProject, user: User) -> Found | None:
    begun = [task for (task,) in rows(BEGUN, project.pk, user.pk, DRAFTS_CONSIDERED)]
    task = free_tasks(project, user).filter(pk__in=begun).first() if begun else None
    return Found(task) if task else None


def _assigned(project: LabelProject, user: User) -> Found | None:
    mine = Assignment.objects.filter(project=project, user=user, is_done=False)
    task = free_tasks(project, user).filter(assignments__in=mine).first()
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


def _in_order(project: LabelProject, user: User, contribution: Contribution) -> Found | None:
    """What became free again comes first where it is more urgent than what lies ahead; then on from where the person is."""
    priority, position = contribution.cursor_priority, contribution.cursor_position
    searches: list[tuple[str, list[int], bool]] = []
    if priority is None or position is None:
        searches.append(("", [], True))
    else:
        if project.has_predictions:
            searches.append(("AND t.is_reopened AND t.priority > %s", [priority], False))
        searches.append(("AND t.priority = %s AND t.position > %s", [priority, position], True))
        searches.append(("AND t.priority < %s", [priority], True))
    searches += [("AND t.is_reopened", [], False), (EXPIRED, [], False)]
    if locks_rows() and (contribution.swept_at is None or contribution.swept_at < timezone.now() - SWEEP_EVERY):
        # Rows that somebody else has locked for a moment are passed by; now and then all are looked at.
        Contribution.objects.filter(pk=contribution.pk).update(swept_at=timezone.now())
        searches.append(("", [], False))
    for condition, values, moves in searches:
        if task := first_free(project, user, condition, values):
            return Found(task, moves_cursor=moves)
    return None


def first_free(project: LabelProject, user: User, condition: str, values: list[int]) -> Task | None:
    """What `free_tasks` says, as a statement: composing the query takes longer than running it, and every claim runs it.

    `condition` is one of this module's own texts.
    """
    now = timezone.now()
    expired = [project.pk, now] if condition == EXPIRED else []
    statement = locking(FREE.replace("{condition}", condition), " FOR UPDATE OF t SKIP LOCKED")
    return first(Task, statement, project.pk, user.pk, now, user.pk, *expired, *values)


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

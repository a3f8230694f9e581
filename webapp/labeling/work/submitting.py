"""Submit, skip, go back. Nothing that a person submits is lost: a repeat is recognised, a late one kept, a stale one told."""

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.core.errors import NotFound, UserError
from webapp.datasets.words import clean
from webapp.labeling import predicting, webhooks
from webapp.labeling.access import access_project, access_task
from webapp.labeling.models import Annotation, Assignment, Contribution, Draft, Task
from webapp.labeling.quality import agreeing, gold, reviewing
from webapp.labeling.schema import checked_value
from webapp.labeling.statements import change, first, locking, writing
from webapp.labeling.work import counting
from webapp.labeling.work.counting import move_slots
from webapp.labeling.work.queue import Turn, own_contribution
from webapp.labeling.work.searching import free_slots, reopen

LONGEST_LEAD_MS = 24 * 3600 * 1000
LOCK = (
    "SELECT id, project_id, position, priority, open_slots, is_reserved, is_reopened, is_disputed, gold, agreement "
    "FROM labeling_task WHERE id = %s"
)
FORMER = "SELECT * FROM labeling_annotation WHERE task_id = %s AND user_id = %s AND is_current"
END_LEASE = "DELETE FROM labeling_tasklease WHERE task_id = %s AND user_id = %s AND expires_at > %s"
FORGET_LEASE = "DELETE FROM labeling_tasklease WHERE task_id = %s AND user_id = %s"
FORGET_DRAFT = "DELETE FROM labeling_draft WHERE task_id = %s AND user_id = %s"


@dataclass(frozen=True)
class Answer:
    """What is submitted for one task."""

    value: list[dict[str, Any]]
    skipped: bool
    key: str
    lead_time_ms: int | None
    revision: int | None
    prediction: int | None = None


def submit(
    *,
    user: User,
    task_id: int,
    value: Any,
    key: str,
    skipped: bool = False,
    lead_time_ms: int | None = None,
    revision: int | None = None,
    prediction: int | None = None,
) -> Annotation:
    """Store an annotation, or a new revision of the own one.

    `key` makes a repeat harmless. `revision` names the revision that was corrected; when it is no longer the newest, the
    answer is 409 with both versions. An annotation for a task without a free slot is kept as surplus. `prediction`: the one
    that the answer began with; the server sees whether it was changed.
    """
    task = access_task(user, task_id, role=Role.ANNOTATOR)
    if not key or len(key) > 80:
        raise UserError("label.no_key", "The submit needs a key of 1 to 80 characters that is new for each submit.", status=422)
    key = clean(key)
    checked = [] if skipped else checked_value(task.project.schema, value, task.data)
    lead = None if lead_time_ms is None else max(0, min(lead_time_ms, LONGEST_LEAD_MS))
    answer = Answer(checked, skipped, key, lead, revision, prediction)
    try:
        with writing():
            return _store(task, user, answer)
    except IntegrityError:
        # The same key came twice at the same moment: the other one has been stored.
        found = _repeated(task, user, key)
        if found is None:
            raise
        return found


def _repeated(task: Task, user: User, key: str) -> Annotation | None:
    found = Annotation.objects.select_related("task").filter(user=user, idempotency_key=key).first()
    if found is not None and found.task_id != task.pk:
        raise UserError("label.key_reused", "This key was used for another task; send a new one.", status=409)
    return found


def _store(task: Task, user: User, answer: Answer) -> Annotation:
    project = task.project
    locked = first(Task, locking(LOCK), task.pk)
    if locked is None:
        raise NotFound
    former = first(Annotation, FORMER, task.pk, user.pk)
    if former and (repeated := _repeated(task, user, answer.key)):
        return repeated
    if former and answer.revision is not None and answer.revision != former.revision:
        raise _stale(former, answer)
    is_gold = locked.gold is not None
    lives = _end_lease(task, user)
    surplus, done = (False, 0) if is_gold else _takes_slot(locked, user, former, answer, lives)
    if former:
        Annotation.objects.filter(pk=former.pk).update(is_current=False)
    stored = Annotation.objects.create(
        project_id=task.project_id,
        task=task,
        user=user,
        revision=former.revision + 1 if former else 1,
        value=answer.value,
        skipped=answer.skipped,
        surplus=surplus,
        is_gold=is_gold,
        score=gold.score_of(project, locked, answer.value) if is_gold and not answer.skipped else None,
        lead_time_ms=answer.lead_time_ms,
        idempotency_key=answer.key,
    )
    change(FORGET_DRAFT, task.pk, user.pk)
    counting.count(project, user, former, stored, done)
    predicting.note_help(project, stored, answer.prediction)
    if locked.is_reserved:
        Assignment.objects.filter(task=task, user=user, is_done=False).update(is_done=True)
    if is_gold:
        gold.count_score(project, user, former, stored)
    else:
        agreeing.update(project, locked, user, former, stored)
        reviewing.ask_for_review(project, former, stored)
    webhooks.tell_submitted(project, stored)
    return stored


def _stale(former: Annotation, answer: Answer) -> UserError:
    return UserError(
        "label.stale_revision",
        "This annotation was changed meanwhile (revision {revision}); compare both and submit again.",
        status=409,
        revision=former.revision,
        stored={"revision": former.revision, "value": former.value, "skipped": former.skipped},
        yours={"revision": answer.revision, "value": answer.value, "skipped": answer.skipped},
    )


def _end_lease(task: Task, user: User) -> bool:
    """Whether the lease was alive still."""
    lives = change(END_LEASE, task.pk, user.pk, timezone.now()) > 0
    if not lives:
        change(FORGET_LEASE, task.pk, user.pk)
    return lives


def _takes_slot(task: Task, user: User, former: Annotation | None, answer: Answer, lives: bool) -> tuple[bool, int]:
    """Take or give back a slot of the locked task; whether the annotation is surplus, and by how much the done tasks change."""
    holds_slot = former is not None and not former.skipped and not former.surplus
    if former is not None and not former.skipped and not answer.skipped:
        return former.surplus, 0
    if answer.skipped:
        if holds_slot:
            return False, move_slots(task, +1)
        if task.open_slots:
            reopen(task.pk)
        return False, 0
    if task.open_slots < 1 or (not lives and free_slots(task, user) < 1):
        return True, 0
    return False, move_slots(task, -1)


def skip(*, user: User, task_id: int, key: str) -> Annotation:
    """Leave a task to others; skipping again changes nothing."""
    task = access_task(user, task_id, role=Role.ANNOTATOR)
    former = Annotation.objects.filter(task=task, user=user, is_current=True, skipped=True).first()
    return former or submit(user=user, task_id=task_id, value=[], key=key, skipped=True)


def go_back(*, user: User, project_id: int) -> Turn:
    """Undo: the person's previous annotation, to be looked at and corrected; again: the one before it."""
    project = access_project(user, project_id, role=Role.ANNOTATOR)
    contribution = own_contribution(project, user)
    own = Annotation.objects.filter(project=project, user=user, is_current=True).select_related("task").order_by("-pk")
    previous = own.filter(pk__lt=contribution.back).first() if contribution.back else own.first()
    if previous is None:
        raise UserError("label.nothing_to_undo", "There is nothing before this one.", status=409)
    Contribution.objects.filter(pk=contribution.pk).update(back=previous.pk)
    draft = Draft.objects.filter(task=previous.task, user=user).first()
    value = draft.value if draft else previous.value
    return Turn(project, contribution, previous.task, draft={"value": value}, revision=previous.revision)


def history(*, user: User, task_id: int) -> list[Annotation]:
    """All revisions of the own annotation of a task, the newest first."""
    task = access_task(user, task_id, role=Role.ANNOTATOR)
    return list(Annotation.objects.filter(task=task, user=user).order_by("-revision"))

"""Review: a sample of what people submit is looked at by somebody else, who accepts it, corrects it, or sends it back with a
reason; what is sent back goes to its author first. Every decision is a row that stays.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.core.errors import UserError
from webapp.datasets.words import clean
from webapp.labeling import webhooks
from webapp.labeling.access import access_project, access_task
from webapp.labeling.models import Annotation, Contribution, LabelProject, Review, ReviewState, Task
from webapp.labeling.schema import checked_value
from webapp.labeling.work.counting import count_labels
from webapp.labeling.work.searching import locks_rows
from webapp.labeling.work.showing import data_for_page

CLAIM = timedelta(minutes=10)
MOST_COUNTED = 1000
DECISIONS = {"accept": ReviewState.ACCEPTED, "fix": ReviewState.FIXED, "reject": ReviewState.REJECTED}
COUNTERS = {ReviewState.ACCEPTED: "accepted", ReviewState.FIXED: "fixed", ReviewState.REJECTED: "rejected"}


def ask_for_review(project: LabelProject, former: Annotation | None, stored: Annotation) -> None:
    """Reviews of the former revision are over; the new one is reviewed when it was before, or by chance."""
    seen_before = bool(former and former.review)
    if former and former.review in {ReviewState.PENDING, ReviewState.REJECTED}:
        Review.objects.filter(annotation=former).update(state=ReviewState.ANSWERED)
    if stored.skipped or stored.surplus or not (seen_before or _is_drawn(project, stored)):
        return
    Review.objects.create(project=project, task_id=stored.task_id, annotation=stored, author_id=stored.user_id)
    Annotation.objects.filter(pk=stored.pk).update(review=ReviewState.PENDING)


def _is_drawn(project: LabelProject, stored: Annotation) -> bool:
    if project.review_share >= 100:
        return True
    drawn = hashlib.blake2b(f"{project.pk}:{stored.task_id}:{stored.user_id}".encode(), digest_size=4).digest()
    return int.from_bytes(drawn, "big") % 100 < project.review_share


@dataclass(frozen=True)
class ReviewTurn:
    """What a reviewer is shown: an annotation with its task, or that nothing waits."""

    project: LabelProject
    waiting: int
    done: int
    review: Review | None = None

    def payload(self) -> dict[str, Any]:
        progress = {"done": self.done, "total": self.done + self.waiting, "mine": self.done, "waiting": self.waiting}
        if self.review is None:
            return {"empty": {"reason": "done", "next_free_at": None}, "progress": progress}
        review, task = self.review, self.review.task
        author = "A" if self.project.blind else str(self.review.author or "")
        shown = {
            "id": task.pk,
            "kind": "review",
            "data": data_for_page(self.project, task),
            "position": task.position + 1,
            "annotations": [{"id": review.annotation_id, "who": author, "value": review.annotation.value}],
            "review": {"id": review.pk, "state": review.state, "reason": review.reason, "by": ""},
        }
        expires = review.claimed_until.isoformat() if review.claimed_until else None
        return {
            "task": shown,
            "draft": {"value": review.annotation.value},
            "lease": {"expires_at": expires},
            "progress": progress,
        }


def next_review(*, user: User, project_id: int) -> ReviewTurn:
    """The annotation that this reviewer holds, or a newly claimed one; never the reviewer's own."""
    project = access_project(user, project_id, role=Role.REVIEWER)
    now = timezone.now()
    pending = Review.objects.filter(project=project, state=ReviewState.PENDING, annotation__is_current=True)
    open_to = pending.exclude(author=user).filter(Q(reviewer=user) | Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))
    with transaction.atomic():
        query = open_to.select_related("task", "annotation", "author").order_by("pk")
        mine = query.filter(reviewer=user, claimed_until__gt=now).first()
        if mine is None and locks_rows():
            query = query.select_for_update(skip_locked=True, of=("self",))
        review = mine or query.first()
        if review is not None:
            review.reviewer, review.claimed_until = user, now + CLAIM
            review.save(update_fields=["reviewer", "claimed_until"])
    done = Contribution.objects.filter(project=project, user=user).values_list("reviewed", flat=True).first()
    return ReviewTurn(project, waiting(project), done or 0, review)


def waiting(project: LabelProject) -> int:
    """How many annotations wait for review, counted up to a limit."""
    pending = Review.objects.filter(project=project, state=ReviewState.PENDING)
    return len(pending.order_by("pk").values_list("pk", flat=True)[:MOST_COUNTED])


def decide(*, user: User, task_id: int, decision: str = "", value: Any = None, reason: str = "") -> Review:
    """`accept`; `fix` with the corrected value; `reject` with a reason, which sends the task back to its author.

    Without a decision the value says it: the author's own is accepted, another one is a fix. The annotation is the one that
    the reviewer holds. Saying the same again changes nothing.
    """
    task = access_task(user, task_id, role=Role.REVIEWER)
    review = _review_of(task, user)
    if review.state != ReviewState.PENDING:
        return review
    project = task.project
    checked = checked_value(project.schema, value, task.data) if value is not None else None
    if not decision:
        decision = "accept" if checked is None or checked == review.annotation.value else "fix"
    if decision not in DECISIONS or (decision == "fix" and checked is None):
        raise UserError("label.bad_decision", "Say accept, reject, or fix with the right answers.", status=422)
    reason = clean(reason).strip()
    if decision == "reject" and not reason:
        raise UserError("label.no_reason", "Say what is wrong, so that the author can mend it.", status=422)
    with transaction.atomic():
        _take(review, user, DECISIONS[decision], reason)
        if decision == "fix" and checked is not None:
            _store_fix(review, user, checked)
        Annotation.objects.filter(pk=review.annotation_id).update(review=review.state)
        _count(review, user)
        webhooks.tell_reviewed(project, review)
    return review


def _review_of(task: Task, user: User) -> Review:
    """The pending review of the task that this reviewer holds, or another one; else the one that they decided last."""
    found = Review.objects.filter(task=task).select_related("annotation", "project")
    others = found.filter(state=ReviewState.PENDING, annotation__is_current=True).exclude(author=user).order_by("pk")
    decided = found.filter(reviewer=user).exclude(state=ReviewState.PENDING).order_by("-decided_at")
    review = others.filter(reviewer=user).first() or decided.first() or others.first()
    if review is None:
        raise UserError("label.nothing_to_review", "No answer of somebody else waits for review on this task.", status=409)
    return review


def _take(review: Review, user: User, state: ReviewState, reason: str) -> None:
    """Decided once: whoever comes later is told."""
    waiting_one = Review.objects.filter(pk=review.pk, state=ReviewState.PENDING)
    changed = waiting_one.update(state=state, reason=reason, reviewer=user, decided_at=timezone.now(), claimed_until=None)
    if not changed:
        raise UserError(
            "label.already_decided", "Somebody else has decided about this one, or its author has changed it.", status=409
        )
    review.state, review.reason, review.reviewer = state, reason, user


def _store_fix(review: Review, user: User, value: list[dict[str, Any]]) -> None:
    """The correction is a new revision of the author's annotation."""
    former = review.annotation
    Annotation.objects.filter(pk=former.pk).update(is_current=False)
    stored = Annotation.objects.create(
        project_id=review.project_id,
        task_id=review.task_id,
        user_id=former.user_id,
        revision=former.revision + 1,
        value=value,
        surplus=former.surplus,
        review=ReviewState.FIXED,
        fixed_by=user,
        idempotency_key=f"fix-{review.pk}-{uuid.uuid4().hex[:8]}",
    )
    count_labels(review.project, former, stored)


def _count(review: Review, user: User) -> None:
    """How each author's work was judged, and how much each reviewer did."""
    counter = COUNTERS[ReviewState(review.state)]
    if review.author_id is not None:
        Contribution.objects.filter(project_id=review.project_id, user_id=review.author_id).update(**{counter: F(counter) + 1})
    Contribution.objects.get_or_create(project_id=review.project_id, user=user)
    Contribution.objects.filter(project_id=review.project_id, user=user).update(reviewed=F("reviewed") + 1)

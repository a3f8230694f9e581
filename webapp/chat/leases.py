"""Which worker answers a turn: claiming by compare-and-set, ending, and the return of turns whose worker is gone."""

import logging
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from webapp.chat.models import Turn, TurnState
from webapp.chat.services import call_worker, tell
from webapp.core import processes
from webapp.core.errors import UserError

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=15)
CALL_AGAIN = timedelta(seconds=15)
MAXIMUM_ATTEMPTS = 12


def claim(turn_id: int) -> Turn | None:
    """Take a waiting turn, or nothing: it was stopped, deleted, or another worker has it."""
    taken = Turn.objects.filter(pk=turn_id, state=TurnState.QUEUED).update(
        state=TurnState.STREAMING,
        attempt=F("attempt") + 1,
        lease_owner=processes.identity(),
        lease_expires_at=timezone.now() + LEASE,
    )
    return Turn.objects.select_related("conversation").get(pk=turn_id) if taken else None


def _mine(turn: Turn) -> QuerySet[Turn]:
    return Turn.objects.filter(pk=turn.pk, attempt=turn.attempt, lease_owner=processes.identity(), state=TurnState.STREAMING)


def save(turn: Turn, *, content: str, usage: dict[str, Any]) -> bool:
    """Keep what is there so far and renew the lease; False when the turn is not ours any more."""
    return bool(_mine(turn).update(content=content, usage=usage, lease_expires_at=timezone.now() + LEASE))


def stops_requested(turn_ids: list[int]) -> set[int]:
    return set(Turn.objects.filter(pk__in=turn_ids, stop_requested=True).values_list("pk", flat=True))


def end(turn: Turn, state: str, *, content: str, usage: dict[str, Any], error: UserError | None) -> bool:
    """The final state; False when the turn was not ours any more."""
    return bool(
        _mine(turn).update(
            state=state,
            content=content,
            usage=usage,
            error=error.payload() if error else {},
            finished_at=timezone.now(),
            lease_owner="",
            lease_expires_at=None,
        )
    )


def return_lost_turns() -> None:
    """Duty: queue again what a dead worker was writing, and call workers again for turns that still wait."""
    now = timezone.now()
    for turn in Turn.objects.filter(state=TurnState.STREAMING).only(
        "pk", "attempt", "lease_owner", "lease_expires_at", "conversation"
    ):
        expired = turn.lease_expires_at is None or turn.lease_expires_at < now
        if expired or processes.owner_is_gone(turn.lease_owner):
            _return(turn)
    overdue = Turn.objects.filter(state=TurnState.QUEUED, lease_expires_at__lt=now)
    for pk, due in overdue.values_list("pk", "lease_expires_at")[:200]:
        if Turn.objects.filter(pk=pk, state=TurnState.QUEUED, lease_expires_at=due).update(lease_expires_at=now + CALL_AGAIN):
            call_worker(pk)


def _return(turn: Turn) -> None:
    same = Turn.objects.filter(pk=turn.pk, attempt=turn.attempt, lease_owner=turn.lease_owner, state=TurnState.STREAMING)
    if turn.attempt >= MAXIMUM_ATTEMPTS:
        error = UserError(
            "chat.lost_too_often", "The answer was interrupted {times} times; press Regenerate.", times=turn.attempt
        )
        same.update(state=TurnState.FAILED, error=error.payload(), lease_owner="", finished_at=timezone.now())
        tell(turn.conversation_id, turn.pk)
        return
    if same.update(state=TurnState.QUEUED, lease_owner="", lease_expires_at=timezone.now() + CALL_AGAIN):
        logger.info("turn %s is queued again: its worker is gone", turn.pk)
        call_worker(turn.pk)

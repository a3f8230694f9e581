"""Usage by deployment, key and day: gathered in memory, written together every second and at exit."""

import atexit
import logging
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from webapp.accounts.models import ApiKey
from webapp.serving.models import Deployment, Usage

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 1.0
Slot = tuple[int, int | None, date]


@dataclass
class Counts:
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, other: "Counts") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens


def tokens_in(usage: Any, name: str, otherwise: int = 0) -> int:
    """A figure of an answer's `usage`. Endpoints of others send null, texts or nothing at all; an answer is worth more."""
    figure = usage.get(name) if isinstance(usage, dict) else None
    return figure if isinstance(figure, int) and figure >= 0 else otherwise


def counts_of(usage: Any, *, failed: int = 0, chunks: int = 0) -> Counts:
    """One request by the usage that its answer tells, else by the pieces that came."""
    return Counts(1, failed, tokens_in(usage, "prompt_tokens"), tokens_in(usage, "completion_tokens", chunks))


_pending: defaultdict[Slot, Counts] = defaultdict(Counts)
_lock = threading.Lock()
_timer: threading.Timer | None = None


def record(deployment_id: int, key_id: int | None, counts: Counts) -> None:
    """Count one request; `key_id` None means the web."""
    global _timer  # noqa: PLW0603  (one timer per process)
    with _lock:
        _pending[(deployment_id, key_id, timezone.now().date())].add(counts)
        if _timer is None:
            _timer = threading.Timer(FLUSH_SECONDS, _flush_in_thread)
            _timer.daemon = True
            _timer.start()


def _flush_in_thread() -> None:
    try:
        flush()
    except DatabaseError:
        logger.exception("usage could not be written; it is tried again with the next request")
    finally:
        close_old_connections()


def flush() -> None:
    """Write what was gathered. What cannot be written is kept for the next time."""
    global _timer  # noqa: PLW0603
    with _lock:
        if _timer is not None:
            _timer.cancel()
        _timer = None
        taken = dict(_pending)
        _pending.clear()
    if not taken:
        return
    try:
        with transaction.atomic():
            _write(taken)
    except DatabaseError:
        with _lock:
            for slot, counts in taken.items():
                _pending[slot].add(counts)
        raise


def _write(taken: dict[Slot, Counts]) -> None:
    """What belonged to a key that is gone meanwhile counts as the web's; one such row would hold up all others for ever."""
    alive = set(Deployment.objects.filter(pk__in={slot[0] for slot in taken}).values_list("pk", flat=True))
    keys = set(ApiKey.objects.filter(pk__in={slot[1] for slot in taken if slot[1]}).values_list("pk", flat=True))
    for (deployment_id, key_id, day), counts in taken.items():
        if deployment_id not in alive:
            continue
        row, _ = Usage.objects.get_or_create(deployment_id=deployment_id, key_id=key_id if key_id in keys else None, day=day)
        Usage.objects.filter(pk=row.pk).update(
            requests=F("requests") + counts.requests,
            errors=F("errors") + counts.errors,
            prompt_tokens=F("prompt_tokens") + counts.prompt_tokens,
            completion_tokens=F("completion_tokens") + counts.completion_tokens,
        )


atexit.register(_flush_in_thread)

"""Webhooks: what happens in a project is told to an address, signed, and tried again until it is taken.

The body is JSON; `X-Shuyuan-Signature: t=<unix time>,v1=<hex>` is the HMAC-SHA256 of `<unix time>.<body>` with the webhook's
secret. Addresses inside private networks are refused when a webhook is made and again before every message, and the
connection goes to the checked address only.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
from django.db import transaction
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import NotFound, UserError
from webapp.core.paging import Page, paginate
from webapp.labeling.access import access_project, require_role
from webapp.labeling.models import Annotation, Delivery, LabelProject, Review, Webhook
from webapp.registry.endpoints import check_endpoint
from workers.pinning import Pinned

EVENTS = ("annotation.submitted", "annotation.reviewed", "task.adjudicated", "project.updated")
MOST_WEBHOOKS = 20
WAITS = (10, 60, 600, 3600, 6 * 3600, 24 * 3600)
"""Seconds before the next attempt; after the last one a message is given up."""
AT_ONCE = 50
TIMEOUT_SECONDS = 5.0
KEPT = timedelta(days=14)


def add_webhook(*, user: User, project_id: int, url: str, events: Sequence[str] = EVENTS) -> Webhook:
    """The secret is made here and shown to managers."""
    project = access_project(user, project_id, role=Role.MANAGER)
    unknown = [event for event in events if event not in EVENTS]
    if unknown or not events:
        raise UserError("webhook.unknown_event", "A webhook can be told of {known} only.", status=422, known=", ".join(EVENTS))
    if Webhook.objects.filter(project=project).count() >= MOST_WEBHOOKS:
        raise UserError("webhook.too_many", "A project has at most {limit} webhooks.", status=409, limit=MOST_WEBHOOKS)
    target = check_endpoint(url[:500])
    made = Webhook.objects.create(
        project=project, url=target.url, secret=secrets.token_urlsafe(32), events=list(events), created_by=user
    )
    LabelProject.objects.filter(pk=project.pk).update(has_webhooks=True)
    record_audit(actor=user, workspace=project.workspace, action="label_project.webhook", subject=project.name, url=target.url)
    return made


def list_webhooks(*, user: User, project_id: int) -> list[Webhook]:
    project = access_project(user, project_id, role=Role.MANAGER)
    return list(Webhook.objects.filter(project=project).order_by("pk"))


def delete_webhook(*, user: User, webhook_id: int) -> None:
    webhook = access_webhook(user, webhook_id)
    project = webhook.project
    webhook.delete()
    record_audit(actor=user, workspace=project.workspace, action="label_project.webhook", subject=project.name, url="")


def access_webhook(user: User, webhook_id: int) -> Webhook:
    found = Webhook.objects.select_related("project__workspace").filter(pk=webhook_id).first()
    if found is None:
        raise NotFound
    require_role(user, found.project, Role.MANAGER)
    return found


def list_deliveries(*, user: User, webhook_id: int, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
    """What was sent and what became of it, the newest first."""
    webhook = access_webhook(user, webhook_id)
    return paginate(Delivery.objects.filter(webhook=webhook), cursor=cursor, limit=limit)


def send_again(*, user: User, delivery_id: int) -> Delivery:
    """Try a message once more, whatever became of it."""
    found = Delivery.objects.filter(pk=delivery_id).first()
    if found is None:
        raise NotFound
    access_webhook(user, found.webhook_id)
    Delivery.objects.filter(pk=found.pk).update(next_at=timezone.now(), attempts=0, delivered_at=None)
    found.refresh_from_db()
    return found


def tell(project: LabelProject, event: str, payload: dict[str, Any]) -> None:
    """Write down what is to be told; a worker's duty sends it. In the same transaction as what happened."""
    if not project.has_webhooks:
        return
    now = timezone.now()
    body = {"event": event, "project": project.pk, "at": now.isoformat(), **payload}
    listeners = [hook for hook in Webhook.objects.filter(project=project, is_active=True) if event in hook.events]
    Delivery.objects.bulk_create([Delivery(webhook=hook, event=event, payload=body, next_at=now) for hook in listeners])


def tell_submitted(project: LabelProject, stored: Annotation) -> None:
    if project.has_webhooks:
        told = {"id": stored.pk, "task": stored.task_id, "annotator": stored.user_id, "revision": stored.revision}
        tell(project, "annotation.submitted", {"annotation": {**told, "value": stored.value, "skipped": stored.skipped}})


def tell_reviewed(project: LabelProject, review: Review) -> None:
    told = {"annotation": review.annotation_id, "task": review.task_id, "state": review.state, "reason": review.reason}
    tell(project, "annotation.reviewed", {"review": told})


def send_due() -> None:
    """A duty: send what is due. Each message is taken by one worker: taking it moves its next attempt."""
    for delivery in Delivery.objects.filter(next_at__lte=timezone.now()).order_by("next_at").select_related("webhook")[:AT_ONCE]:
        wait = WAITS[min(delivery.attempts, len(WAITS) - 1)]
        taken = Delivery.objects.filter(pk=delivery.pk, next_at=delivery.next_at, attempts=delivery.attempts).update(
            next_at=timezone.now() + timedelta(seconds=wait), attempts=delivery.attempts + 1
        )
        if taken:
            _note(delivery, *_send(delivery))


def _send(delivery: Delivery) -> tuple[int | None, str]:
    """(HTTP status, trouble)."""
    webhook = delivery.webhook
    body = json.dumps({"id": delivery.pk, **delivery.payload}, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Shuyuan",
        "X-Shuyuan-Event": delivery.event,
        "X-Shuyuan-Delivery": str(delivery.pk),
        "X-Shuyuan-Signature": signature(webhook.secret, body, int(time.time())),
    }
    try:
        target = check_endpoint(webhook.url)
        transport = Pinned(target.url, target.addresses)
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False, transport=transport) as client,
            client.stream("POST", target.url, content=body, headers=headers) as response,
        ):
            return response.status_code, "" if response.is_success else f"HTTP {response.status_code}"
    except UserError as error:
        return None, error.message[:200]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return None, f"{type(error).__name__} {error}".strip()[:200]


def signature(secret: str, body: bytes, moment: int) -> str:
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


def _note(delivery: Delivery, status: int | None, trouble: str) -> None:
    changes: dict[str, Any] = {"status": status, "trouble": trouble}
    if not trouble:
        changes |= {"next_at": None, "delivered_at": timezone.now()}
    elif delivery.attempts + 1 >= len(WAITS):
        changes["next_at"] = None
    Delivery.objects.filter(pk=delivery.pk).update(**changes)


def discard_old_deliveries() -> None:
    """A duty: the log goes back two weeks."""
    with transaction.atomic():
        old = Delivery.objects.filter(next_at__isnull=True, created_at__lt=timezone.now() - KEPT).order_by("pk")
        Delivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:5000])).delete()

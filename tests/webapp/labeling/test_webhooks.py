"""Webhooks: signed, tried again until taken, logged, and never sent into private networks."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.datasets.uploading import post
from tests.webapp.labeling.making import choose, make_project, texts
from tests.workers.evaluate.test_endpoint import serving
from webapp.accounts.models import User, Workspace
from webapp.labeling import webhooks
from webapp.labeling.models import Delivery, LabelProject, Webhook
from webapp.labeling.work import queue, submitting


@pytest.fixture
def project(alice: User, workspace: Workspace) -> LabelProject:
    return make_project(alice, workspace, texts(3))


def label(user: User, project: LabelProject, key: str) -> None:
    task = queue.next_task(user=user, project_id=project.pk).task
    assert task is not None
    submitting.submit(user=user, task_id=task.pk, value=choose("card"), key=key)


def test_messages_are_signed_tried_again_and_logged(
    alice: User, alice_client: Client, bob: User, project: LabelProject, settings: Any
) -> None:
    answers = iter([500, 204])

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return next(answers), {}

    with serving(answer) as (url, asked):
        settings.ALLOWED_ENDPOINTS = [url.removeprefix("http://")]
        made = post(alice_client, f"/api/v1/label-projects/{project.pk}/webhooks", {"url": f"{url}/hook"}, 201)
        label(bob, project, "k1")
        webhooks.send_due()
        first = Delivery.objects.get()
        assert (first.attempts, first.status, first.trouble, first.delivered_at) == (1, 500, "HTTP 500", None)
        webhooks.send_due()
        assert len(asked) == 1, "not before its time"
        Delivery.objects.update(next_at=timezone.now())
        webhooks.send_due()
    sent = Delivery.objects.get()
    assert (sent.attempts, sent.status, sent.next_at) == (2, 204, None)
    assert sent.delivered_at is not None
    message = asked[1]
    assert (message["path"], message["event"], message["annotation"]["value"]) == (
        "/hook",
        "annotation.submitted",
        choose("card"),
    )
    listed = alice_client.get(f"/api/v1/label-webhooks/{made['id']}/deliveries").json()["items"]
    assert [(row["event"], row["status"]) for row in listed] == [("annotation.submitted", 204)]
    again = post(alice_client, f"/api/v1/label-deliveries/{sent.pk}/again", {}, 200)
    assert again["next_at"] is not None


def test_signature_is_that_of_the_documentation() -> None:
    expected = hmac.new(b"secret", b'12.{"a": 1}', hashlib.sha256).hexdigest()
    assert webhooks.signature("secret", b'{"a": 1}', 12) == f"t=12,v1={expected}"


def test_private_addresses_are_refused_when_made_and_when_sent(
    alice: User, alice_client: Client, bob: User, project: LabelProject
) -> None:
    url = f"/api/v1/label-projects/{project.pk}/webhooks"
    assert post(alice_client, url, {"url": "http://127.0.0.1:9/x"}, 400)["error"]["code"] == "endpoint.private_address"
    assert post(alice_client, url, {"url": "ftp://example.org"}, 400)["error"]["code"] == "endpoint.bad_url"
    assert (
        post(alice_client, url, {"url": "https://1.1.1.1/x", "events": ["all"]}, 422)["error"]["code"] == "webhook.unknown_event"
    )
    Webhook.objects.create(project=project, url="http://127.0.0.1:9/x", secret="s", events=list(webhooks.EVENTS))
    LabelProject.objects.update(has_webhooks=True)
    label(bob, project, "k1")
    webhooks.send_due()
    sent = Delivery.objects.get()
    assert (sent.status, sent.delivered_at) == (None, None)
    assert "private network" in sent.trouble
    Delivery.objects.update(attempts=len(webhooks.WAITS) - 1, next_at=timezone.now())
    webhooks.send_due()
    assert Delivery.objects.get().next_at is None, "given up"
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=30))
    webhooks.discard_old_deliveries()
    assert not Delivery.objects.exists()


def test_webhooks_are_run_by_clicks_by_managers_only(
    alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, project: LabelProject, settings: Any
) -> None:
    settings.ALLOWED_ENDPOINTS = ["127.0.0.1:9"]
    page = reverse("label_webhooks", args=[workspace.slug, project.pk])
    add, delete, again = (
        reverse(f"label_webhook_{name}", args=[workspace.slug, project.pk]) for name in ("add", "delete", "again")
    )
    assert [client.get(page).status_code for client in (alice_client, bob_client, charlie_client)] == [200, 403, 404]
    body = {"url": "http://127.0.0.1:9/x", "events": ["annotation.submitted"]}
    for address in (add, delete, again):
        assert [client.post(address, body).status_code for client in (bob_client, charlie_client)] == [403, 404]
    assert alice_client.post(add, body).status_code == 302
    hook = Webhook.objects.get()
    assert hook.events == ["annotation.submitted"]
    sent = Delivery.objects.create(webhook=hook, event="annotation.submitted", payload={})
    assert hook.secret in alice_client.get(page).content.decode()
    assert alice_client.post(again, {"delivery": sent.pk}).status_code == 302
    sent.refresh_from_db()
    assert sent.next_at is not None
    api = f"/api/v1/label-webhooks/{hook.pk}"
    assert [client.get(f"{api}/deliveries").status_code for client in (bob_client, charlie_client)] == [403, 404]
    assert [client.delete(api).status_code for client in (bob_client, charlie_client)] == [403, 404]
    again_url = f"/api/v1/label-deliveries/{sent.pk}/again"
    assert [client.post(again_url).status_code for client in (bob_client, charlie_client)] == [403, 404]
    assert alice_client.post(delete, {"webhook": hook.pk}).status_code == 302
    assert not Webhook.objects.exists()

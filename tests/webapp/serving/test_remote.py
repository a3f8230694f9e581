"""Models behind somebody else's endpoint answer in the chat and over /v1 like deployed ones; their key stays secret (S9.4)."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.test import Client

from tests.webapp.serving.double import Double, Running
from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_key
from webapp.core.errors import NotFound, UserError
from webapp.registry import endpoints
from webapp.registry.models import Model
from webapp.registry.services import add_endpoint
from webapp.serving.models import Deployment, Health
from webapp.serving.services import create_deployment, start_deployment, stop_deployment
from webapp.serving.watching import Watcher
from workers.spec.serve import ServeSpec

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "sk-very-secret"


@pytest.fixture
def provider(settings: Any) -> Iterator[tuple[str, Double]]:
    double = Double(SECRET)
    with Running(double.app) as running:
        settings.ALLOWED_ENDPOINTS = [f"127.0.0.1:{running.port}"]
        yield f"http://127.0.0.1:{running.port}/v1", double


@pytest.fixture
def remote(alice: User, workspace: Workspace, provider: tuple[str, Double]) -> Deployment:
    model = add_endpoint(
        user=alice, slug="academy", url=provider[0], key=SECRET, remote_name="big-1", name="Their big one", check=False
    )
    return create_deployment(user=alice, workspace="academy", spec=ServeSpec(model=model.pk))


def test_endpoint_is_ready_without_an_engine_and_can_be_switched_off(alice: User, remote: Deployment) -> None:
    assert (remote.name, remote.state, remote.is_remote) == ("Their-big-one", "ready", True)
    Watcher(command=("false",)).look()
    remote.refresh_from_db()
    assert (remote.state, remote.watcher, remote.pid) == ("ready", "", None)
    assert stop_deployment(user=alice, deployment_id=remote.pk).state == "stopped"
    assert start_deployment(user=alice, deployment_id=remote.pk).state == "ready"


def test_only_managers_put_an_endpoint_into_the_chat(bob: User, charlie: User, remote: Deployment) -> None:
    for user, error in ((bob, UserError), (charlie, NotFound)):
        with pytest.raises(error):
            create_deployment(user=user, workspace="academy", spec=ServeSpec(model=remote.model_id))


def test_pages_and_api_show_where_it_leads_and_never_the_key(alice_client: Client, remote: Deployment) -> None:
    for address in (
        f"/w/academy/deployment/{remote.pk}/",
        "/w/academy/deployment/",
        f"/w/academy/deployment/deploy/{remote.model_id}/",
        f"/w/academy/chat/?deployment={remote.pk}",
        f"/w/academy/models/{remote.model_id}/",
        f"/api/v1/deployments/{remote.pk}",
    ):
        answer = alice_client.get(address)
        assert answer.status_code == 200, address
        assert SECRET not in answer.content.decode()
    page = alice_client.get(f"/w/academy/chat/?deployment={remote.pk}").content.decode()
    assert f"What you write is sent to {remote.model.endpoint_url}" in page
    assert "Engine log" not in alice_client.get(f"/w/academy/deployment/{remote.pk}/").content.decode()


def test_try_box_asks_it(alice_client: Client, remote: Deployment, provider: tuple[str, Double]) -> None:
    answer = alice_client.post(f"/w/academy/deployment/{remote.pk}/try/", {"message": json.dumps({"count": 4})})
    assert "0 1 2 3" in answer.content.decode()
    assert provider[1].requests[0]["model"] == "big-1"


def ask(web: str, key: str, **body: Any) -> httpx.Response:
    given = {"model": "Their-big-one", "messages": [{"role": "user", "content": '{"count": 3}'}], **body}
    return httpx.post(
        f"{web}/v1/chat/completions", json=given, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    )


def test_programs_reach_it_through_the_gateway_with_our_keys(
    web: str, alice: User, workspace: Workspace, remote: Deployment, provider: tuple[str, Double]
) -> None:
    _, key = create_key(user=alice, name="k", scopes=["inference"], workspace=workspace)
    assert ask(web, key).json()["choices"][0]["message"]["content"] == "0 1 2 "
    streamed = ask(web, key, stream=True).text
    assert '"content": "2 "' in streamed
    assert streamed.endswith("data: [DONE]\n\n")
    assert {request["model"] for request in provider[1].requests} == {"big-1"}


def test_refused_key_is_told_and_not_repeated(
    web: str, alice: User, workspace: Workspace, remote: Deployment, provider: tuple[str, Double]
) -> None:
    provider[1].token = "another"
    _, key = create_key(user=alice, name="k", scopes=["inference"], workspace=workspace)
    answer = ask(web, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "endpoint_key")
    provider[1].token = SECRET
    plan = json.dumps({"error": {"message": f"the key {SECRET} may not do this"}})
    said = ask(web, key, messages=[{"role": "user", "content": plan}])
    assert said.status_code == 400
    assert SECRET not in said.text


def test_endpoint_whose_name_leads_inside_is_not_called(
    web: str,
    alice: User,
    workspace: Workspace,
    remote: Deployment,
    provider: tuple[str, Double],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was public when it was added; now its name says a private address."""
    real = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **options: Any) -> Any:
        return real("10.0.0.1" if host == "models.example" else host, *more, **options)

    Model.objects.filter(pk=remote.model_id).update(endpoint_url="http://models.example/v1")
    monkeypatch.setattr(endpoints.socket, "getaddrinfo", look_up)
    _, key = create_key(user=alice, name="k", scopes=["inference"], workspace=workspace)
    answer = ask(web, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "endpoint.private_address")
    assert provider[1].requests == []


def test_stopped_endpoint_answers_nobody(
    web: str, alice: User, workspace: Workspace, remote: Deployment, provider: tuple[str, Double]
) -> None:
    stop_deployment(user=alice, deployment_id=remote.pk)
    _, key = create_key(user=alice, name="k", scopes=["inference"], workspace=workspace)
    answer = ask(web, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_stopped")
    assert Deployment.objects.get(pk=remote.pk).health == Health.STOPPED

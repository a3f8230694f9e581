"""Chat with a model behind somebody else's endpoint: the same stream, other hindrances."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.webapp.chat.conftest import answered
from tests.webapp.serving.double import Double, Running
from webapp.accounts.models import User, Workspace
from webapp.chat import generation, queries, services
from webapp.chat.models import Conversation, Turn, TurnState
from webapp.chat.settings import ChatSettings
from webapp.registry.services import add_endpoint
from webapp.serving.services import create_deployment
from workers.spec.serve import ServeSpec

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "sk-very-secret"


@pytest.fixture
def provider(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Double]]:
    monkeypatch.setattr(generation, "REMOTE_WAIT_SECONDS", 0.01)
    double = Double(SECRET)
    with Running(double.app) as running:
        settings.ALLOWED_ENDPOINTS = [f"127.0.0.1:{running.port}"]
        yield f"http://127.0.0.1:{running.port}", double


@pytest.fixture
def conversation(alice: User, workspace: Workspace, provider: tuple[str, Double], called: list[int]) -> Conversation:
    model = add_endpoint(user=alice, slug="academy", url=provider[0], key=SECRET, remote_name="big-1", name="theirs", check=False)
    create_deployment(user=alice, workspace="academy", spec=ServeSpec(model=model.pk))
    return services.create_conversation(user=alice, workspace="academy")


def ask(alice: User, conversation: Conversation, **plan: Any) -> Turn:
    text = json.dumps({"count": 3, **plan})
    return answered(services.send_message(user=alice, conversation_id=conversation.pk, content=text)[1])


def test_endpoint_answers_in_the_chat(alice: User, conversation: Conversation, provider: tuple[str, Double]) -> None:
    turn = ask(alice, conversation)
    assert (turn.state, turn.content, turn.model_name) == (TurnState.DONE, "0 1 2 ", "theirs")
    assert turn.usage["completion_tokens"] == 3
    asked = provider[1].requests[0]
    assert asked["model"] == "big-1"
    assert not {"temperature", "top_p", "max_tokens"} & set(asked), "what nobody chose is the provider's"


def test_what_somebody_chose_is_sent(alice: User, conversation: Conversation, provider: tuple[str, Double]) -> None:
    services.update_conversation(user=alice, conversation_id=conversation.pk, settings=ChatSettings(temperature=0.3))
    ask(alice, conversation)
    assert provider[1].requests[0]["temperature"] == 0.3


def test_refused_key_is_told_with_what_to_do(alice: User, conversation: Conversation, provider: tuple[str, Double]) -> None:
    provider[1].token = "another"
    turn = ask(alice, conversation)
    assert turn.state == TurnState.FAILED
    assert "refuses the stored key" in turn.error["message"]
    assert len(provider[1].requests) == 0


def test_secret_that_the_endpoint_repeats_is_taken_out(alice: User, conversation: Conversation) -> None:
    turn = ask(alice, conversation, error={"message": f"key {SECRET} has no credit"})
    shown = queries.error_data(turn.error)
    assert shown is not None
    assert shown["technical"] == "key … has no credit"
    assert SECRET not in json.dumps(turn.error)


def test_broken_stream_is_not_glued_to_another_answer(alice: User, conversation: Conversation) -> None:
    turn = ask(alice, conversation, break_at=2)
    assert (turn.state, turn.content) == (TurnState.FAILED, "0 1 ")
    assert "broke off" in turn.error["message"]


def test_busy_endpoint_is_asked_a_few_times(alice: User, conversation: Conversation, provider: tuple[str, Double]) -> None:
    turn = ask(alice, conversation, error={"message": "slow down"}, status=429)
    assert turn.state == TurnState.FAILED
    assert "does not answer" in turn.error["message"]
    assert len(provider[1].requests) == generation.REMOTE_TRIES


def test_address_that_is_no_longer_allowed_is_not_called(
    alice: User, conversation: Conversation, provider: tuple[str, Double], settings: Any
) -> None:
    settings.ALLOWED_ENDPOINTS = []
    turn = ask(alice, conversation)
    assert (turn.state, turn.error["code"]) == (TurnState.FAILED, "endpoint.private_address")
    assert provider[1].requests == []

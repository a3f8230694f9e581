"""Conversations: trees of turns, privacy, search, ratings."""

import pytest
from django.test import Client

from tests.webapp.chat.conftest import Send, answered
from webapp.accounts.models import User, Workspace
from webapp.chat import queries, services, suggestions
from webapp.chat.models import Conversation, Feedback, Turn, TurnState
from webapp.chat.settings import ChatParameters, ChatSettings
from webapp.core.errors import NotFound, UserError
from webapp.serving.engines import engine_run
from webapp.serving.models import Deployment, Wanted

pytestmark = pytest.mark.django_db(transaction=True)


def test_message_queues_an_answer_and_gives_the_title(send: Send, conversation: Conversation, called: list[int]) -> None:
    answer = send("How long does   delivery take?")
    conversation.refresh_from_db()
    assert conversation.title == "How long does delivery take?"
    assert (answer.state, answer.role, answer.parent.role) == (TurnState.QUEUED, "assistant", "user")
    assert conversation.leaf == answer
    assert called == [answer.pk]
    assert answer.parameters["temperature"] == 0.7


def test_sampling_that_nobody_chose_is_the_model_s(send: Send, ready: Deployment) -> None:
    ready.model.card = {"generation": {"temperature": 0.0}}
    ready.model.save()
    asked = send().parameters
    assert (asked["temperature"], asked["top_p"]) == (0.0, 0.9)
    assert engine_run(ready).generation.temperature == 0.0


def test_message_sent_twice_with_one_key_is_one_turn(send: Send, called: list[int]) -> None:
    assert send("hello", client_key="k1") == send("hello", client_key="k1")
    assert len(called) == 1


def test_regeneration_asked_twice_with_one_key_is_one_answer(send: Send, alice: User, called: list[int]) -> None:
    first = answered(send())
    again = services.regenerate(user=alice, turn_id=first.pk, client_key="k2")
    assert services.regenerate(user=alice, turn_id=first.pk, client_key="k2") == again
    answered(again)
    assert services.regenerate(user=alice, turn_id=first.pk, client_key="k2") == again
    assert len(called) == 2
    assert services.regenerate(user=alice, turn_id=first.pk, client_key="k3") != again


def test_key_of_a_message_is_no_key_of_a_regeneration(send: Send, alice: User) -> None:
    first = answered(send("hello", client_key="k1"))
    with pytest.raises(UserError, match="another request"):
        services.regenerate(user=alice, turn_id=first.pk, client_key="k1")
    answered(services.regenerate(user=alice, turn_id=first.pk, client_key="k2"))
    with pytest.raises(UserError, match="another request"):
        send("hello", client_key="k2")


def test_next_message_waits_for_the_answer(send: Send) -> None:
    send()
    with pytest.raises(UserError, match="still being written"):
        send("more")


def test_regenerating_and_editing_make_siblings_that_can_be_switched(send: Send, alice: User, conversation: Conversation) -> None:
    first = answered(send("one"))
    second = answered(services.regenerate(user=alice, turn_id=first.pk))
    assert second.parent == first.parent
    edited = answered(send("two", at_root=True))
    assert edited.parent.parent is None
    conversation.refresh_from_db()
    assert conversation.leaf == edited
    shown = services.update_conversation(user=alice, conversation_id=conversation.pk, leaf=first.parent_id)
    assert shown.leaf == second
    assert [turn.content for turn in queries.path_to(first.pk, conversation.pk)] == ["one", "0 1 2 "]


@pytest.mark.parametrize(("content", "words"), [("  ", "is empty"), ("x" * 100_001, "shorten it")])
def test_unusable_message_is_refused(send: Send, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        send(content)


def test_without_a_deployment_the_way_is_told(alice: User, workspace: Workspace) -> None:
    conversation = services.create_conversation(user=alice, workspace=workspace.slug)
    with pytest.raises(UserError, match="press Deploy"):
        services.send_message(user=alice, conversation_id=conversation.pk, content="hello")


def test_a_repeat_after_a_lost_answer_leaves_no_empty_conversation(alice: User, bob: User, workspace: Workspace) -> None:
    first = services.create_conversation(user=alice, workspace=workspace.slug)
    assert services.create_conversation(user=alice, workspace=workspace.slug, again=True) == first
    assert services.create_conversation(user=alice, workspace=workspace.slug) != first
    Turn.objects.create(conversation=first, role="user", content="hello")
    assert services.create_conversation(user=alice, workspace=workspace.slug, again=True) != first
    assert services.create_conversation(user=bob, workspace=workspace.slug, again=True).user == bob


def test_default_deployment_is_the_one_talked_to_last(
    alice: User, workspace: Workspace, ready: Deployment, deploy: object
) -> None:
    newer = deploy("newer")  # type: ignore[operator]
    assert services.default_deployment(alice, workspace.pk) == newer
    services.create_conversation(user=alice, workspace=workspace.slug, deployment_id=ready.pk)
    assert services.default_deployment(alice, workspace.pk) == ready
    Deployment.objects.filter(pk=ready.pk).update(wanted=Wanted.STOPPED)
    assert services.default_deployment(alice, workspace.pk) == newer


def test_parameters_of_one_message_go_before_those_of_the_conversation(
    send: Send, alice: User, conversation: Conversation
) -> None:
    services.update_conversation(user=alice, conversation_id=conversation.pk, settings=ChatSettings(temperature=0.0, seed=3))
    answer = send(parameters=ChatParameters(temperature=1.5, system_prompt="Be brief."))
    assert answer.parameters == {"system_prompt": "Be brief.", "temperature": 1.5, "top_p": 0.9, "max_tokens": 1024, "seed": 3}


def test_rating_is_stored_changed_and_taken_back(send: Send, alice: User) -> None:
    answer = answered(send())
    services.rate_turn(user=alice, turn_id=answer.pk, rating=1)
    services.rate_turn(user=alice, turn_id=answer.pk, rating=-1, reasons=["incorrect"], comment="no", correction="Three days.")
    kept = Feedback.objects.get()
    assert (kept.rating, kept.reasons, kept.comment, kept.correction) == (-1, ["incorrect"], "no", "Three days.")
    services.rate_turn(user=alice, turn_id=answer.pk, rating=0)
    assert not Feedback.objects.exists()
    with pytest.raises(UserError, match="not a reason"):
        services.rate_turn(user=alice, turn_id=answer.pk, rating=-1, reasons=["mood"])
    with pytest.raises(UserError, match="1, 0 or -1"):
        services.rate_turn(user=alice, turn_id=answer.pk, rating=5)
    with pytest.raises(UserError, match="finished answer"):
        services.rate_turn(user=alice, turn_id=answer.parent_id or 0, rating=1)


def test_search_finds_words_of_titles_and_messages(send: Send, alice: User, bob: User, workspace: Workspace) -> None:
    answered(send("我的包裹什么时候到？ Where is parcel 77?"))
    assert queries.conversations(alice, workspace, "包裹 77").count() == 1
    assert queries.conversations(alice, workspace, "包裹 78").count() == 0
    assert queries.conversations(bob, workspace, "包裹").count() == 0


def test_conversation_is_seen_by_its_holder_only(
    send: Send, conversation: Conversation, bob: User, bob_client: Client, charlie_client: Client, workspace: Workspace
) -> None:
    answer = send()
    for client in (bob_client, charlie_client):
        for address in (
            f"/w/{workspace.slug}/chat/{conversation.pk}/",
            f"/api/v1/conversations/{conversation.pk}",
            f"/api/v1/conversations/{conversation.pk}/turns",
            f"/api/v1/turns/{answer.pk}",
        ):
            assert client.get(address).status_code == 404, address
    with pytest.raises(NotFound):
        services.stop_turn(user=bob, turn_id=answer.pk)
    with pytest.raises(NotFound):
        services.delete_conversation(user=bob, conversation_id=conversation.pk)


def test_waiting_answer_stops_at_once(send: Send, alice: User) -> None:
    answer = send()
    assert services.stop_turn(user=alice, turn_id=answer.pk).state == TurnState.STOPPED
    assert answered(answer).content == ""


def test_deleting_takes_the_turns_along(send: Send, alice: User, conversation: Conversation) -> None:
    answered(send())
    services.delete_conversation(user=alice, conversation_id=conversation.pk)
    assert not Turn.objects.exists()


def test_suggestions_come_from_registered_sources(alice: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "_sources", [])
    suggestions.register(lambda workspace, user: [f"Ask {workspace.name}", f"Ask {workspace.name}"])
    assert suggestions.suggestions(workspace, alice) == ["Ask Academy"]

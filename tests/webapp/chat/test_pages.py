"""The chat page and its API, as the island uses it."""

import json

import pytest
from django.test import Client

from tests.webapp.chat.conftest import Send, answered
from webapp.accounts.models import User, Workspace
from webapp.chat import services
from webapp.chat.models import Conversation, Feedback
from webapp.serving.models import Deployment

pytestmark = pytest.mark.django_db(transaction=True)


def test_without_a_deployment_the_page_leads_on(alice_client: Client, workspace: Workspace) -> None:
    page = alice_client.get(f"/w/{workspace.slug}/chat/").content.decode()
    assert "No model to talk to yet" in page
    assert "data-island" not in page


def test_page_gives_the_island_what_it_needs(alice_client: Client, conversation: Conversation, ready: Deployment) -> None:
    page = alice_client.get(f"/w/academy/chat/{conversation.pk}/").content.decode()
    for part in (
        f'data-conversation="{conversation.pk}"',
        f'data-deployment="{ready.pk}"',
        'data-model="shop-1"',
        "data-stop-url",
    ):
        assert part in page


def test_list_is_searched_and_refreshes_alone(alice_client: Client, send: Send, conversation: Conversation) -> None:
    send("where is my parcel")
    headers = {"HX-Request": "true"}
    fragment = alice_client.get(f"/w/academy/chat/?q=parcel&current={conversation.pk}", headers=headers).content.decode()
    assert "where is my parcel" in fragment
    assert 'aria-current="page"' in fragment
    assert "<html" not in fragment
    assert "Nothing found" in alice_client.get("/w/academy/chat/?q=nowhere", headers=headers).content.decode()


def test_list_page_costs_the_same_however_long(
    alice_client: Client, alice: User, conversation: Conversation, django_assert_max_num_queries: object
) -> None:
    for _ in range(30):
        services.create_conversation(user=alice, workspace="academy", title="x")
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        alice_client.get(f"/w/academy/chat/{conversation.pk}/")


def test_conversation_is_renamed_moved_and_deleted(alice_client: Client, conversation: Conversation, deploy: object) -> None:
    other = deploy("other")  # type: ignore[operator]
    address = f"/w/academy/chat/{conversation.pk}/"
    assert alice_client.post(address + "change/", {"title": "Parcels"}).status_code == 302
    assert alice_client.post(address + "change/", {"deployment": other.pk}).status_code == 302
    conversation.refresh_from_db()
    assert (conversation.title, conversation.deployment) == ("Parcels", other)
    assert alice_client.post(address + "delete/").status_code == 302
    assert not Conversation.objects.exists()


def test_api_goes_the_whole_way(alice_client: Client, workspace: Workspace, ready: Deployment, called: list[int]) -> None:
    def post(address: str, **body: object) -> dict[str, object]:
        response = alice_client.post(f"/api/v1/{address}", json.dumps(body), content_type="application/json")
        assert response.status_code in {200, 201}, response.content
        return dict(response.json())

    made = post(f"workspaces/{workspace.slug}/conversations", deployment=ready.pk, settings={"temperature": 0.1})
    assert made["url"] == f"/w/academy/chat/{made['id']}/"
    message = {"content": "hi", "parent": None, "key": "k", "parameters": {"max_tokens": 9, "system_prompt": ""}}
    sent = post(f"conversations/{made['id']}/turns", **message)
    assert sent == post(f"conversations/{made['id']}/turns", **message)
    answer = sent["turns"][1]  # type: ignore[index]
    from webapp.chat.models import Turn

    answered(Turn.objects.get(pk=answer["id"]))
    again = post(f"turns/{answer['id']}/regenerate", key="x", parameters={"temperature": 1.0})
    assert post(f"turns/{again['leaf']}/stop")["state"] == "stopped"
    assert post(f"conversations/{made['id']}/leaf", leaf=answer["id"])["leaf"] == answer["id"]
    rating = json.dumps({"rating": -1, "reasons": ["style"], "comment": "", "correction": "Better."})
    rated = alice_client.put(f"/api/v1/turns/{answer['id']}/feedback", rating, content_type="application/json").json()
    assert rated["feedback"]["correction"] == "Better."
    assert Feedback.objects.get().rating == -1
    tree = alice_client.get(f"/api/v1/conversations/{made['id']}/turns").json()
    assert [turn["role"] for turn in tree["turns"]] == ["user", "assistant", "assistant"]
    listed = alice_client.get(f"/api/v1/workspaces/{workspace.slug}/conversations?search=hi").json()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    changed = alice_client.patch(
        f"/api/v1/conversations/{made['id']}",
        json.dumps({"settings": {"top_p": 0.5}, "title": "T"}),
        content_type="application/json",
    ).json()
    assert (changed["settings"], changed["title"]) == ({"top_p": 0.5}, "T")
    refused = alice_client.patch(
        f"/api/v1/conversations/{made['id']}", json.dumps({"settings": {"temperature": 9}}), content_type="application/json"
    )
    assert refused.status_code == 422
    assert alice_client.delete(f"/api/v1/conversations/{made['id']}").status_code == 204


def test_long_conversation_opens_quickly(alice_client: Client, conversation: Conversation, alice: User) -> None:
    """500 messages, 1 MB: one request, a handful of queries."""
    from webapp.chat.models import Turn

    Turn.objects.bulk_create(
        [Turn(conversation=conversation, role="user" if number % 2 else "assistant", content="x" * 2000) for number in range(500)]
    )
    assert len(alice_client.get(f"/api/v1/conversations/{conversation.pk}/turns").json()["turns"]) == 500

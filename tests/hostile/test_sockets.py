"""Frames that no browser of ours sends: ignored or closed, never an error in the server (S10.2)."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from tests.websocket import WebSocket
from webapp.accounts.models import User, Workspace
from webapp.chat.consumers import ChatConsumer
from webapp.chat.models import Conversation
from webapp.core.consumers import EventsConsumer

pytestmark = pytest.mark.django_db(transaction=True)
FRAMES = [
     "{", "null", "[]", "7", '"x"', "[" * 50_000, '{"type": 5}', '{"type": "subscribe", "topic": null}',
    json.dumps({"type": "subscribe", "topic": "job." + "9" * 40}), json.dumps({"type": "subscribe", "topic": "job.-1"}),
    json.dumps({"type": "subscribe", "topic": "workspace.1; DROP TABLE"}), json.dumps({"type": "subscribe", "topic": "é\x00<b>"}),
    json.dumps({"type": "subscribe", "topic": "x" * 100_000}), json.dumps({"type": "subscribe", "topic": {"a": 1}}),
    json.dumps({"type": "unsubscribe", "topic": "\ud800"}), json.dumps({"type": "unsubscribe", "topic": "job.1/../2"}),
    '{"type": "subscribe", "topic": "\\ud800.1"}', json.dumps({"type": "subscribe", "topic": "job.²"}),
    json.dumps({"type": "subscribe", "turn": 10**30}), json.dumps({"type": "subscribe", "turn": True, "after": 10**30}),
]  # fmt: skip


async def opened(consumer: Any, user: Any, **arguments: Any) -> WebSocket:
    socket = WebSocket(consumer.as_asgi(), "/ws/", user=user, url_route={"kwargs": arguments})
    assert await socket.connect()
    return socket


async def send_all(socket: WebSocket) -> None:
    for frame in FRAMES:
        await socket._wire.send_input({"type": "websocket.receive", "text": frame})


async def test_nonsense_does_not_end_the_connection(alice: User, workspace: Workspace) -> None:
    socket = await opened(EventsConsumer, alice)
    await send_all(socket)
    await socket.send({"type": "subscribe", "topic": f"workspace.{workspace.pk}"})
    while (answer := await socket.receive()) != {"subscribed": f"workspace.{workspace.pk}"}:
        assert list(answer) == ["refused"], answer
        assert len(answer["refused"]) <= 100
    await socket.close()


async def test_nonsense_in_a_conversation(alice: User, workspace: Workspace) -> None:
    conversation = await Conversation.objects.acreate(workspace=workspace, user=alice)
    socket = await opened(ChatConsumer, alice, conversation_id=conversation.pk)
    await send_all(socket)
    assert await socket.hears_nothing(0.3)
    await socket.close()


async def test_strangers_hear_nothing(charlie: User, workspace: Workspace) -> None:
    socket = await opened(EventsConsumer, charlie)
    await socket.send({"type": "subscribe", "topic": f"workspace.{workspace.pk}"})
    assert await socket.receive() == {"refused": f"workspace.{workspace.pk}"}
    await socket.close()


async def test_anonymous_is_shown_out(db: None) -> None:
    socket = await opened(EventsConsumer, AnonymousUser())
    assert await socket.receive() is None
    assert socket.close_code == 4401

"""What a browser gets: every character once, from any point, over lost sockets and a restarted Redis (S10.2)."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import AnonymousUser

from tests.webapp.chat.conftest import InBackground, RedisServer, Send, answered
from tests.webapp.serving.double import Double
from tests.websocket import WebSocket
from webapp.accounts.models import User
from webapp.chat import services, turn_stream
from webapp.chat.consumers import ChatConsumer
from webapp.chat.models import Conversation, Turn, TurnState
from webapp.serving.connections import close_connections, redis_client

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def opened(conversation: Conversation, user: Any) -> AsyncIterator[WebSocket]:
    socket = WebSocket(
        ChatConsumer.as_asgi(),
        f"/ws/chat/{conversation.pk}/",
        user=user,
        url_route={"kwargs": {"conversation_id": conversation.pk}},
        cookies={"shuyuan_language": "zh-hans"},
    )
    assert await socket.connect()
    try:
        yield socket
    finally:
        if socket.close_code is None:
            await socket.close()


@pytest.fixture(autouse=True)
async def connections_are_closed() -> AsyncIterator[None]:
    yield
    await close_connections()


class Reader:
    """The browser's side: puts deltas together as the island does; what an earlier subscription still sent may overlap."""

    def __init__(self, turn_id: int) -> None:
        self.turn_id = turn_id
        self.text = ""
        self.end: dict[str, Any] | None = None
        self.frames = 0

    async def read(self, socket: WebSocket, *, frames: int = 10**6, timeout: float = 15) -> None:
        await socket.send({"type": "subscribe", "turn": self.turn_id, "after": len(self.text)})
        while self.end is None and frames > 0:
            message = await socket.receive(timeout)
            if message["type"] == "delta":
                assert message["start"] <= len(self.text), "a gap"
                self.text += message["text"][len(self.text) - message["start"] :]
                self.frames += 1
                frames -= 1
            elif message["type"] == "end":
                self.end = message["turn"]
                assert self.end["content"].startswith(self.text), "what was streamed is what was kept"


async def in_background(turn: Turn) -> InBackground:
    worker = InBackground(turn)
    worker.thread.start()
    return worker


async def finish(worker: InBackground) -> None:
    await database_sync_to_async(worker.__exit__)(None, None, None)


@pytest.mark.parametrize("who", ["anonymous", "bob"])
async def test_others_are_turned_away(conversation: Conversation, bob: User, who: str) -> None:
    async with opened(conversation, bob if who == "bob" else AnonymousUser()) as socket:
        assert await socket.receive() is None
        assert socket.close_code == (4403 if who == "bob" else 4401)


async def test_finished_answer_comes_as_its_end(conversation: Conversation, alice: User, send: Send) -> None:
    turn = await database_sync_to_async(lambda: answered(send()))()
    async with opened(conversation, alice) as socket:
        reader = Reader(turn.pk)
        await reader.read(socket)
    assert reader.end is not None
    assert (reader.end["content"], reader.end["state"]) == ("0 1 2 ", "done")


async def test_running_answer_survives_dropped_sockets_at_random_points(
    conversation: Conversation, alice: User, send: Send
) -> None:
    turn = await database_sync_to_async(send)(json.dumps({"count": 300, "delay": 0.005}))
    worker = await in_background(turn)
    reader = Reader(turn.pk)
    chance = random.Random(7)
    while reader.end is None:
        async with opened(conversation, alice) as socket:
            await reader.read(socket, frames=chance.randint(1, 6))
    await finish(worker)
    assert reader.text
    assert reader.end["content"] == "".join(f"{number} " for number in range(300))


async def test_restart_of_redis_while_somebody_reads(
    conversation: Conversation, alice: User, send: Send, redis: RedisServer
) -> None:
    turn = await database_sync_to_async(send)(json.dumps({"count": 150, "delay": 0.02}))
    worker = await in_background(turn)
    reader = Reader(turn.pk)
    async with opened(conversation, alice) as socket:
        await reader.read(socket, frames=5)
        redis.kill()
        await asyncio.sleep(0.3)
        redis.start()
        await reader.read(socket)
    await finish(worker)
    assert reader.end is not None
    assert reader.end["content"] == "".join(f"{number} " for number in range(150))


async def test_answer_is_read_from_the_row_while_redis_is_away(
    conversation: Conversation, alice: User, send: Send, redis: RedisServer
) -> None:
    redis.kill()
    turn = await database_sync_to_async(send)(json.dumps({"count": 60, "delay": 0.02}))
    worker = await in_background(turn)
    reader = Reader(turn.pk)
    async with opened(conversation, alice) as socket:
        await reader.read(socket)
    await finish(worker)
    assert reader.end is not None
    assert reader.end["content"] == "".join(f"{number} " for number in range(60))
    assert reader.frames >= 1


async def test_other_tab_hears_of_new_turns_and_of_ratings(conversation: Conversation, alice: User, send: Send) -> None:
    async with opened(conversation, alice) as socket:
        turn = await database_sync_to_async(send)("hello", client_key="k")
        heard = [await socket.receive(), await socket.receive()]
        assert [message["turn"]["role"] for message in heard] == ["user", "assistant"]
        await database_sync_to_async(lambda: answered(turn))()
        assert (await socket.receive())["turn"]["state"] == "done"
        await database_sync_to_async(services.rate_turn)(user=alice, turn_id=turn.pk, rating=1)
        assert (await socket.receive())["turn"]["feedback"]["rating"] == 1


async def test_turn_of_another_conversation_is_not_shown(conversation: Conversation, alice: User, bob: User, send: Send) -> None:
    turn = await database_sync_to_async(send)()

    def strange() -> Conversation:
        return services.create_conversation(user=bob, workspace=conversation.workspace.slug)

    async with opened(await database_sync_to_async(strange)(), bob) as socket:
        await socket.send({"type": "subscribe", "turn": turn.pk, "after": 0})
        await socket.send({"type": "subscribe", "turn": "x"})
        await socket.send([1])
        assert await socket.hears_nothing(0.3)


async def test_first_piece_reaches_the_browser_while_the_engine_still_thinks(
    conversation: Conversation, alice: User, send: Send, double: Double
) -> None:
    """Nothing waits for a second piece; how quickly it goes is benchmarks/bench_chat_stream.py."""
    turn = await database_sync_to_async(send)(json.dumps({"count": 40, "hold_at": 1}))
    async with opened(conversation, alice) as socket:
        worker = await in_background(turn)
        reader = Reader(turn.pk)
        await reader.read(socket, frames=1)
        assert reader.text == "0 "
        double.go_on.set()
        await reader.read(socket)
    await finish(worker)
    assert reader.end is not None
    assert reader.end["content"].endswith("39 ")


async def test_what_comes_after_a_gap_is_not_lost(conversation: Conversation, alice: User, send: Send) -> None:
    """A restarted Redis lacks what was written before; the row has it a little later, and nothing else may be coming."""
    turn = await database_sync_to_async(send)()
    rows = Turn.objects.filter(pk=turn.pk)
    await rows.aupdate(state=TurnState.STREAMING, content="0 1 ")
    writer = turn_stream.TurnWriter(redis_client(), turn.pk)
    async with opened(conversation, alice) as socket:
        reader = Reader(turn.pk)
        await reader.read(socket, frames=1)
        await writer.text(8, "4 5 ")
        await rows.aupdate(content="0 1 2 3 ")
        while len(reader.text) < 12:
            message = await socket.receive(15)
            assert message["start"] == len(reader.text)
            reader.text += message["text"]
        assert reader.text == "0 1 2 3 4 5 "

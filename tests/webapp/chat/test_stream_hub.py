"""Streams of many turns over one connection: to Redis in batches, from Redis by one reader (S10.2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import RedisError

from tests.webapp.chat.conftest import RedisServer
from webapp.chat import stream_hub, turn_stream
from webapp.chat.stream_hub import Listener, hub
from webapp.serving.connections import close_connections, redis_client

PATIENCE = 30


@pytest.fixture(autouse=True)
async def fresh_streams(redis: RedisServer) -> AsyncIterator[None]:
    await redis_client().flushall()
    yield
    await close_connections()


def writer(turn_id: int) -> turn_stream.TurnWriter:
    return turn_stream.TurnWriter(redis_client(), turn_id)


async def heard(listener: Listener, length: int) -> str:
    """The text that the listener's entries make, once it has so many characters."""
    text = ""
    while len(text) < length:
        for entry in await asyncio.wait_for(listener.entries(), PATIENCE):
            text = text[: entry.start] + entry.text
    return text


async def test_everybody_hears_their_own_turn_whenever_they_came() -> None:
    early = hub(redis_client()).listen(1)
    await writer(1).text(0, "one ")
    assert await heard(early, 4) == "one "
    late, other = hub(redis_client()).listen(1), hub(redis_client()).listen(2)
    await asyncio.gather(writer(1).text(4, "more"), writer(2).text(0, "two"))
    assert await heard(late, 8) == "one more", "from the beginning"
    assert await heard(other, 3) == "two"
    for listener in (early, late, other):
        listener.leave()


async def test_stream_of_a_new_listener_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader that waits for the others' streams is woken; it would wait for an hour here."""
    monkeypatch.setattr(stream_hub, "BLOCK_MILLISECONDS", 3_600_000)
    monkeypatch.setattr(stream_hub, "REDIS_RETRY_SECONDS", 3600)
    first = hub(redis_client()).listen(1)
    await writer(1).text(0, "a")
    await heard(first, 1)
    await writer(2).text(0, "b")
    second = hub(redis_client()).listen(2)
    assert await heard(second, 1) == "b"
    first.leave()
    second.leave()


async def test_silence_is_told_so_that_the_row_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_hub, "BLOCK_MILLISECONDS", 10)
    listener = hub(redis_client()).listen(1)
    assert await asyncio.wait_for(listener.entries(), PATIENCE) == []
    listener.leave()


async def test_redis_that_comes_back_empty_is_read_from_its_beginning(redis: RedisServer) -> None:
    listener = hub(redis_client()).listen(1)
    await writer(1).text(0, "before")
    await heard(listener, 6)
    redis.kill()
    with pytest.raises((RedisError, OSError)):
        await writer(1).text(6, "lost")
    assert await asyncio.wait_for(listener.entries(), PATIENCE) == [], "look at the row"
    redis.start()
    await writer(1).text(0, "after it all")
    assert await heard(listener, 12) == "after it all"
    listener.leave()


async def test_reader_ends_with_the_last_listener_and_begins_anew() -> None:
    ours = hub(redis_client())
    listener = ours.listen(1)
    task = ours._task
    assert task is not None
    listener.leave()
    listener.leave()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.done()
    again = ours.listen(1)
    await writer(1).text(0, "x")
    assert await heard(again, 1) == "x"
    again.leave()


async def test_writes_of_many_turns_go_together_and_keep_their_order() -> None:
    calls: list[int] = []
    pipe = turn_stream.pipe(redis_client())
    send = pipe._send

    async def counted(commands: list[tuple[object, ...]]) -> list[object]:
        calls.append(len(commands))
        return await send(commands)

    pipe._send = counted  # type: ignore[method-assign]
    writers = {number: writer(number) for number in range(20)}
    for step in range(3):
        await asyncio.gather(*[one.text(step, str(step)) for one in writers.values()])
    assert calls == [20] * len(calls), "one batch for all chats"
    for number in writers:
        entries = await turn_stream.read_all(redis_client(), number)
        assert [(entry.start, entry.text) for entry in entries] == [(0, "0"), (1, "1"), (2, "2")]


async def test_refused_write_fails_alone() -> None:
    await redis_client().set(turn_stream.key(1), "no stream")
    outcomes = await asyncio.gather(writer(1).text(0, "a"), writer(2).text(0, "b"), return_exceptions=True)
    assert isinstance(outcomes[0], RedisError)
    assert outcomes[1] is None
    assert [entry.text for entry in await turn_stream.read_all(redis_client(), 2)] == ["b"]


async def test_cancelled_write_does_not_hold_up_the_others() -> None:
    gone = asyncio.create_task(writer(1).text(0, "a"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(writer(2).text(0, "b"), PATIENCE)
    await asyncio.gather(gone, return_exceptions=True)
    assert [entry.text for entry in await turn_stream.read_all(redis_client(), 2)] == ["b"]

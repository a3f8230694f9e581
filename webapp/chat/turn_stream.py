"""The Redis stream of a turn: `turn:<id>`, entries (start, text) with offsets in code points, at last an entry `end`.

It is a fast way, not the truth: the row has the text up to half a second ago, and everything once the turn has ended.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import RedisError

LIFE_SECONDS = 3600
MAXIMUM_ENTRIES = 20_000
RENEW_EVERY = 256


@dataclass(frozen=True)
class Entry:
    id: str
    start: int
    text: str
    ended: bool


def key(turn_id: int) -> str:
    return f"turn:{turn_id}"


class Pipe:
    """Writes of all turns of an event loop: what comes while an earlier batch is on its way goes in one batch with the rest.

    An engine computes one token of every chat in the same moment; each with a round trip of its own would wait for the others.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, *command: Any) -> None:
        """Run a command; its error is raised here."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((command, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            outcomes = await self._send([command for command, _ in batch])
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue  # whoever asked has been cancelled
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(None)

    async def _send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            return list(await pipeline.execute(raise_on_error=False))
        except (RedisError, OSError) as error:
            return [error] * len(commands)


_pipes: "WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Redis, Pipe]]" = WeakKeyDictionary()


def pipe(redis: Redis) -> Pipe:
    """The pipe of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _pipes or _pipes[loop][0] is not redis:
        _pipes[loop] = (redis, Pipe(redis))
    return _pipes[loop][1]


class TurnWriter:
    """Appends to the stream of one turn."""

    def __init__(self, redis: Redis, turn_id: int) -> None:
        self._pipe = pipe(redis)
        self._key = key(turn_id)
        self._count = 0

    async def text(self, start: int, text: str) -> None:
        await self._add("start", start, "text", text)

    async def end(self, start: int) -> None:
        await self._add("start", start, "text", "", "end", 1)
        await self._pipe.run("EXPIRE", self._key, LIFE_SECONDS)

    async def _add(self, *fields: Any) -> None:
        await self._pipe.run("XADD", self._key, "MAXLEN", "~", MAXIMUM_ENTRIES, "*", *fields)
        if self._count % RENEW_EVERY == 0:
            await self._pipe.run("EXPIRE", self._key, LIFE_SECONDS)
        self._count += 1


async def read(redis: Redis, after: dict[str, str], *, block_milliseconds: int) -> dict[str, list[Entry]]:
    """Entries of several streams, each after an id (`0`: all), by key; waits for the first new one, at most so long."""
    streams_after: dict[Any, Any] = {**after}
    answer: Any = await redis.xread(streams_after, count=500, block=block_milliseconds)
    streams = answer.items() if isinstance(answer, dict) else answer or []
    return {name.decode(): [_entry(number, fields) for number, fields in rows] for name, rows in streams}


async def ring(redis: Redis, bell: str) -> None:
    """Write a word to a stream that somebody's `read` waits for."""
    await pipe(redis).run("XADD", bell, "MAXLEN", "~", 1, "*", "start", 0, "text", "")
    await pipe(redis).run("EXPIRE", bell, LIFE_SECONDS)


async def read_all(redis: Redis, turn_id: int) -> list[Entry]:
    entries: Any = await redis.xrange(key(turn_id))
    return [_entry(number, fields) for number, fields in entries]


def _entry(number: bytes, fields: dict[bytes, bytes]) -> Entry:
    return Entry(number.decode(), int(fields[b"start"]), fields[b"text"].decode(), b"end" in fields)


def longest_text(saved: str, entries: list[Entry]) -> str:
    """The saved text and what the stream has beyond it: the streamed text may be half a second ahead of the row."""
    text = ""
    for entry in entries:
        if entry.start <= len(text):
            text = text[: entry.start] + entry.text
        elif entry.start <= len(saved):
            text = saved[: entry.start] + entry.text
    return text if len(text) > len(saved) and text.startswith(saved) else saved

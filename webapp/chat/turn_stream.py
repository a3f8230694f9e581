"""The Redis stream of a turn: `turn:<id>`, entries (start, text) with offsets in code points, at last an entry `end`.

It is a fast way, not the truth: the row has the text up to half a second ago, and everything once the turn has ended.
"""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

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


class TurnWriter:
    """Appends to the stream of one turn."""

    def __init__(self, redis: Redis, turn_id: int) -> None:
        self._redis = redis
        self._key = key(turn_id)
        self._count = 0

    async def text(self, start: int, text: str) -> None:
        await self._add({"start": start, "text": text})

    async def end(self, start: int) -> None:
        await self._add({"start": start, "text": "", "end": 1})
        await self._redis.expire(self._key, LIFE_SECONDS)

    async def _add(self, fields: dict[Any, Any]) -> None:
        await self._redis.xadd(self._key, fields, maxlen=MAXIMUM_ENTRIES, approximate=True)
        if self._count % RENEW_EVERY == 0:
            await self._redis.expire(self._key, LIFE_SECONDS)
        self._count += 1


async def read(redis: Redis, turn_id: int, after: str, *, block_milliseconds: int) -> list[Entry]:
    """Entries after an id (`0`: all); waits for the first new one, at most so long."""
    answer: Any = await redis.xread({key(turn_id): after}, count=500, block=block_milliseconds)
    if not answer:
        return []
    streams = list(answer.items()) if isinstance(answer, dict) else answer
    return [_entry(number, fields) for number, fields in streams[0][1]]


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

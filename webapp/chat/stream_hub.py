"""One reader for the streams of all turns that a web process follows.

An engine computes one token of every chat in the same moment. A reader for each would cost a round trip for each frame;
this one asks for all of them at once and hands out what came.
"""

import asyncio
import contextlib
from uuid import uuid4
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import RedisError

from webapp.chat import turn_stream
from webapp.chat.turn_stream import Entry

BLOCK_MILLISECONDS = 1000
REDIS_RETRY_SECONDS = 0.25


class Listener:
    """What came of one turn for one socket. It begins with all that the stream has."""

    def __init__(self, hub: "StreamHub", turn_id: int) -> None:
        self.key = turn_stream.key(turn_id)
        self.heard = False
        self._hub = hub
        self._entries: list[Entry] = []
        self._news = asyncio.Event()

    def hear(self, entries: list[Entry]) -> None:
        self.heard = True
        self._entries += entries
        self._news.set()

    async def entries(self) -> list[Entry]:
        """What came since the last call. Nothing: the stream is silent or away, the row may know more."""
        await self._news.wait()
        self._news.clear()
        entries, self._entries = self._entries, []
        return entries

    def leave(self) -> None:
        self._hub.forget(self)


class StreamHub:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._listeners: dict[str, list[Listener]] = {}
        self._cursors: dict[str, str] = {}
        self._bell = f"turns:bell:{uuid4().hex}"
        self._bell_cursor = "0"
        self._task: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def listen(self, turn_id: int) -> Listener:
        listener = Listener(self, turn_id)
        self._listeners.setdefault(listener.key, []).append(listener)
        self._cursors[listener.key] = "0"
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        else:
            ringing = asyncio.create_task(self._ring())
            self._ringing.add(ringing)
            ringing.add_done_callback(self._ringing.discard)
        return listener

    def forget(self, listener: Listener) -> None:
        others = self._listeners.get(listener.key, [])
        if listener in others:
            others.remove(listener)
        if not others:
            self._listeners.pop(listener.key, None)
            self._cursors.pop(listener.key, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _ring(self) -> None:
        """Let the reader ask again, for the new stream too. Unheard it would do so within a second anyway."""
        with contextlib.suppress(RedisError, OSError):
            await turn_stream.ring(self.redis, self._bell)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        mine = asyncio.current_task()
        looked_at = loop.time()
        while self._task is mine:  # a Redis client that connects swallows a cancellation
            asked = {**self._cursors, self._bell: self._bell_cursor}
            try:
                streams = await turn_stream.read(self.redis, asked, block_milliseconds=BLOCK_MILLISECONDS)
            except (RedisError, OSError):
                await asyncio.sleep(REDIS_RETRY_SECONDS)
                self._start_again()
                continue
            for key, entries in streams.items():
                self._hand_out(key, asked[key], entries)
            if loop.time() - looked_at >= BLOCK_MILLISECONDS / 1000:
                looked_at = loop.time()
                self._look_at_rows()

    def _hand_out(self, key: str, asked: str, entries: list[Entry]) -> None:
        if key == self._bell:
            self._bell_cursor = entries[-1].id
            return
        if self._cursors.get(key) == asked:  # else somebody came meanwhile who needs the beginning
            self._cursors[key] = entries[-1].id
        for listener in self._listeners.get(key, []):
            listener.hear(entries)

    def _start_again(self) -> None:
        """Redis was away and may have come back empty."""
        self._cursors = dict.fromkeys(self._cursors, "0")
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.hear([])

    def _look_at_rows(self) -> None:
        """Whoever heard nothing for a second looks at the row: the turn may have ended without a word in the stream."""
        for listeners in self._listeners.values():
            for listener in listeners:
                if not listener.heard:
                    listener.hear([])
                listener.heard = False


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, StreamHub]" = WeakKeyDictionary()


def hub(redis: Redis) -> StreamHub:
    """The hub of the running loop."""
    loop = asyncio.get_running_loop()
    known = _hubs.get(loop)
    if known is None or known.redis is not redis:
        known = _hubs[loop] = StreamHub(redis)
    return known

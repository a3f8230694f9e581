"""The WebSocket of a conversation. It only reads: rows, and the streams of the turns that are being written.

In:  {"type": "subscribe", "turn": id, "after": offset}. Out: {"type": "turn", "turn": {…}} for new and changed turns,
{"type": "delta", "turn": id, "start": offset, "text": "…"} and {"type": "end", "turn": {…}}. Offsets count code points.
"""

import asyncio
import contextlib
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.utils import translation

from webapp.chat import queries
from webapp.chat.access import access_conversation
from webapp.chat.models import OPEN
from webapp.chat.stream_hub import hub
from webapp.chat.turn_stream import Entry
from webapp.core.errors import UserError
from webapp.core.events import group_name
from webapp.serving.connections import redis_client

CLOSE_ANONYMOUS = 4401
CLOSE_FORBIDDEN = 4403
GAP_SECONDS = 0.1
MAXIMUM_FOLLOWED = 32


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.followed: dict[int, Follower] = {}
        self.conversation = int(self.scope["url_route"]["kwargs"]["conversation_id"])
        self.group = group_name(f"conversation.{self.conversation}")
        self.language = self.scope.get("cookies", {}).get(settings.LANGUAGE_COOKIE_NAME, settings.LANGUAGE_CODE)
        refusal = await self._refusal()
        if refusal is None:  # who is in hears everything that is said after
            await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        if refusal is not None:
            await self.close(code=refusal)

    async def _refusal(self) -> int | None:
        """The code to close with, for somebody who may not read this conversation."""
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            return CLOSE_ANONYMOUS
        try:
            await database_sync_to_async(access_conversation)(user, self.conversation)
        except UserError:
            return CLOSE_FORBIDDEN
        return None

    async def disconnect(self, code: int) -> None:
        for follower in self.followed.values():
            follower.stop()
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if not isinstance(content, dict) or content.get("type") != "subscribe":
            return
        turn_id, after = content.get("turn"), content.get("after", 0)
        if not isinstance(turn_id, int) or not isinstance(after, int) or after < 0 or not 0 < turn_id < 1 << 63:
            return
        if (earlier := self.followed.pop(turn_id, None)) is not None:
            earlier.stop()
        if len(self.followed) < MAXIMUM_FOLLOWED:
            self.followed[turn_id] = Follower(self, turn_id, after)

    async def topic_news(self, message: dict[str, Any]) -> None:
        for data in await self._rows([int(number) for number in message["payload"].get("turns", [])]):
            await self.send_json({"type": "turn", "turn": data})

    async def _rows(self, ids: list[int]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            with translation.override(self.language):
                return [queries.turn_data(turn) for turn in queries.turns(self.conversation, ids)]

        rows: list[dict[str, Any]] = await database_sync_to_async(read)()
        return rows

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return {}


class Follower:
    """Follows one turn for one socket. `have` is how many code points the browser has."""

    def __init__(self, consumer: ChatConsumer, turn_id: int, have: int) -> None:
        self.consumer = consumer
        self.turn_id = turn_id
        self.have = have
        self._later: list[Entry] = []
        self._stopped = False
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """The flag beside the cancellation, because a Redis client that connects swallows one."""
        self._stopped = True
        self._task.cancel()

    async def _run(self) -> None:
        """Send what comes after `have` until the turn ends: from the stream, and from the row where the stream has a gap."""
        with contextlib.suppress(RuntimeError):  # the socket closed while we were sending
            await self._follow()
        if self.consumer.followed.get(self.turn_id) is self:
            del self.consumer.followed[self.turn_id]

    async def _follow(self) -> None:
        if await self._from_row():
            return
        listener = hub(redis_client()).listen(self.turn_id)
        try:
            while not self._stopped:
                entries = self._later or await listener.entries()
                if await (self._from_stream(entries) if entries else self._from_row()):
                    return
        finally:
            listener.leave()

    async def _from_row(self) -> bool:
        """Catch up with the row; True when the turn has ended (or is gone)."""
        rows = await self.consumer._rows([self.turn_id])
        if not rows:
            return True
        if rows[0]["state"] not in OPEN:
            await self.consumer.send_json({"type": "end", "turn": rows[0]})
            return True
        await self._delta(0, rows[0]["content"])
        return False

    async def _from_stream(self, entries: list[Entry]) -> bool:
        """Pass entries on, those that came together as one; True when the turn has ended."""
        text = ""
        start = self.have
        self._later = []
        for number, entry in enumerate(entries):
            if entry.start > start + len(text):
                await self._delta(start, text)
                self._later = entries[number:]
                return await self._over_gap()
            text += entry.text[start + len(text) - entry.start :]
            if entry.ended:
                await self._delta(start, text)
                return await self._from_row()
        await self._delta(start, text)
        return False

    async def _over_gap(self) -> bool:
        """The stream lost what lies between; the row gets it within half a second."""
        before = self.have
        ended = await self._from_row()
        if not ended and self.have == before:
            await asyncio.sleep(GAP_SECONDS)
        return ended

    async def _delta(self, start: int, text: str) -> None:
        missing = text[self.have - start :] if self.have > start else text
        if missing and start <= self.have:
            begin, self.have = self.have, self.have + len(missing)
            await self.consumer.send_json({"type": "delta", "turn": self.turn_id, "start": begin, "text": missing})

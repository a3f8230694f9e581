"""Live events: publish «topic has news» to browsers; who may listen to a topic is asked of the app that owns it.

A topic is `kind.id` (`job.7`). The channel layer may lose messages, so a message only says that there is news;
what must not be lost is a row or a file, and the page fetches what it lacks.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from webapp.core.errors import UserError
from webapp.core.recent_news import note_news
from workers.event_loop import new_event_loop

logger = logging.getLogger(__name__)
PUBLISH_SECONDS = 5.0
Guard = Callable[[Any, int], Any]
_guards: dict[str, Guard] = {}


def register_topic(kind: str, guard: Guard) -> None:
    """`guard(user, id)` raises UserError when the user may not listen to `kind.id`."""
    _guards[kind] = guard


def may_listen(user: Any, topic: str) -> bool:
    kind, _, number = topic.partition(".")
    if kind not in _guards or not (number.isascii() and number.isdigit() and len(number) < 19):
        return False
    try:
        _guards[kind](user, int(number))
    except UserError:
        return False
    return True


def group_name(topic: str) -> str:
    return f"topic.{topic}"


async def publish_async(topic: str, **payload: Any) -> None:
    layer = get_channel_layer()
    try:
        await layer.group_send(group_name(topic), {"type": "topic.news", "topic": topic, "payload": payload})
    except (RedisError, OSError) as error:
        logger.warning("no live event for %s: %s", topic, error)


class Publisher:
    """One event loop, and so one connection, for all that a process of threads publishes.

    Without it every call from a thread makes a loop, a thread and a connection of its own, and throws them away.
    """

    def __init__(self) -> None:
        self.is_wanted = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this process; a fork has to start its own."""
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = new_event_loop(), os.getpid()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="publisher").start()
            return self._loop

    def publish(self, topic: str, payload: dict[str, Any]) -> None:
        sent = asyncio.run_coroutine_threadsafe(publish_async(topic, **payload), self.loop())
        try:
            sent.result(PUBLISH_SECONDS)
        except TimeoutError:
            sent.cancel()
            logger.warning("no live event for %s within %s s", topic, PUBLISH_SECONDS)


publisher = Publisher()
"""Wanted in workers. A web process has a loop that requests publish from."""


def publish(topic: str, **payload: Any) -> None:
    """Tell every open page that `topic` has news. Never raises for a missing broker: pages also poll."""
    note_news(topic)
    if publisher.is_wanted:
        publisher.publish(topic, payload)
    else:
        async_to_sync(publish_async)(topic, **payload)

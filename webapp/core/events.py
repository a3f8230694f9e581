"""Live events: publish «topic has news» to browsers; who may listen to a topic is asked of the app that owns it.

A topic is `kind.id` (`job.7`). The channel layer may lose messages, so a message only says that there is news;
what must not be lost is a row or a file, and the page fetches what it lacks.
"""

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from webapp.core.errors import UserError

logger = logging.getLogger(__name__)
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


def publish(topic: str, **payload: Any) -> None:
    """Tell every open page that `topic` has news. Never raises for a missing broker: pages also poll."""
    async_to_sync(publish_async)(topic, **payload)

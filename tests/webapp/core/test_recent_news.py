"""A page whose socket opens late is told that it missed something, and only then (N4)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.webapp.serving.redis_server import RedisServer
from tests.websocket import WebSocket
from webapp.accounts.models import User, Workspace
from webapp.core import recent_news
from webapp.core.consumers import EventsConsumer
from webapp.core.events import publish_async

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def redis(tmp_path: Path, settings: Any) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    settings.REDIS_URL = f"unix://{server.socket}"
    yield server
    server.kill()


async def told(user: User, topic: str, **age: Any) -> list[dict[str, Any]]:
    """What a page hears that subscribes, up to the first news that come after."""
    socket = WebSocket(EventsConsumer.as_asgi(), "/ws/events/", user=user)
    assert await socket.connect()
    await socket.send({"type": "subscribe", "topic": topic, **age})
    heard = [await socket.receive()]
    if not await socket.hears_nothing(0.5):
        heard.append(await socket.receive())
    await publish_async(topic, later=True)
    assert (await socket.receive())["payload"] == {"later": True}
    await socket.close()
    return heard[1:]


async def test_news_from_before_the_socket_opened_are_told(redis: RedisServer, workspace: Workspace, alice: User) -> None:
    topic = f"workspace.{workspace.pk}"
    missed = {"topic": topic, "payload": {"resumed": True}}
    assert await told(alice, topic, age=5_000) == []
    recent_news.note_news(topic)
    assert await told(alice, topic, age=5_000) == [missed]
    assert await told(alice, topic) == [], "who does not say how old it is gets what comes"


async def test_news_from_before_the_page_are_not_told(
    redis: RedisServer, workspace: Workspace, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"workspace.{workspace.pk}"
    monkeypatch.setattr(recent_news, "MARGIN", 0)
    recent_news.note_news(topic)
    time.sleep(0.3)
    assert await told(alice, topic, age=100) == []


async def test_without_redis_a_page_asks_again(workspace: Workspace, alice: User) -> None:
    topic = f"workspace.{workspace.pk}"
    assert await told(alice, topic, age=100) == [{"topic": topic, "payload": {"resumed": True}}]


async def test_page_older_than_what_is_remembered_asks_again(redis: RedisServer, workspace: Workspace, alice: User) -> None:
    topic = f"workspace.{workspace.pk}"
    assert len(await told(alice, topic, age=recent_news.REMEMBERED)) == 1
    for odd in (-1, "5000", None, 1.5):
        assert await told(alice, topic, age=odd) == []

"""A conversation with a deployment whose engine is the counting double, and a real Redis."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from tests.webapp.serving.conftest import (  # noqa: F401
    deploy,
    double,
    model,
    ready,
    redis_server,
    usage_is_written_when_asked,
    web,
)
from tests.webapp.serving.redis_server import RedisServer
from webapp.accounts.models import User, Workspace
from webapp.chat import answering, services, threads
from webapp.chat.models import Conversation, Turn
from webapp.serving.connections import close_connections
from webapp.serving.models import Deployment


@pytest.fixture(autouse=True)
def redis(redis_server: RedisServer, settings: Any) -> Iterator[RedisServer]:  # noqa: F811
    settings.REDIS_URL = f"unix://{redis_server.socket}"
    yield redis_server
    import asyncio

    asyncio.run_coroutine_threadsafe(close_connections(), threads.loop()).result(60)
    if redis_server.process is None or redis_server.process.poll() is not None:
        redis_server.start()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Turns for which a worker was called."""
    calls: list[int] = []
    monkeypatch.setattr(services, "call_worker", calls.append)
    return calls


@pytest.fixture
def conversation(workspace: Workspace, alice: User, ready: Deployment, called: list[int]) -> Conversation:  # noqa: F811
    return services.create_conversation(user=alice, workspace=workspace.slug)


Send = Callable[..., Turn]


@pytest.fixture
def send(alice: User, conversation: Conversation) -> Send:
    """Send a message; gives the waiting answer."""

    def make(content: str = "hello", **more: Any) -> Turn:
        return services.send_message(user=alice, conversation_id=conversation.pk, content=content, **more)[1]

    return make


def answered(turn: Turn) -> Turn:
    answering.answer(turn.pk)
    turn.refresh_from_db()
    return turn


class InBackground:
    """A worker answering a turn in a thread."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.thread = threading.Thread(target=self._answer, daemon=True)

    def _answer(self) -> None:
        try:
            answering.answer(self.turn.pk)
        finally:
            connection.close()

    def __enter__(self) -> "InBackground":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.turn.refresh_from_db()

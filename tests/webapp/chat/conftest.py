"""A conversation with a deployment whose engine is the counting double, and a real Redis."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.webapp.serving.conftest import (  # noqa: F401
    deploy,
    double,
    model,
    ready,
    usage_is_written_when_asked,
    web,
)
from webapp.accounts.models import User, Workspace
from webapp.chat import answering, services, threads
from webapp.chat.models import Conversation, Turn
from webapp.core.embedded import redis_binary
from webapp.serving.connections import close_connections
from webapp.serving.models import Deployment


class RedisServer:
    """A Redis that can be killed and started again, empty."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [redis_binary(), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            if subprocess.run([redis_binary(), "--version"], capture_output=True, check=False) and self.socket.exists():
                return
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.socket.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def redis(redis_server: RedisServer, settings: Any) -> Iterator[RedisServer]:
    settings.REDIS_URL = f"unix://{redis_server.socket}"
    yield redis_server
    import asyncio

    asyncio.run_coroutine_threadsafe(close_connections(), threads.loop()).result(10)
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
        self.thread = threading.Thread(target=answering.answer, args=(turn.pk,), daemon=True)

    def __enter__(self) -> "InBackground":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.turn.refresh_from_db()

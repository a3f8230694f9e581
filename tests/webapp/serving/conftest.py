"""A model with files, deployments of it, and an engine double that answers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tests.webapp.serving.double import Double, Running
from tests.webapp.serving.redis_server import RedisServer
from webapp.accounts.models import User, Workspace
from webapp.registry.models import Model
from webapp.serving import accounting
from webapp.serving.connections import close_connections
from webapp.serving.models import Deployment, Health
from webapp.serving.services import create_deployment
from workers.spec.serve import ServeSpec

Deploy = Callable[..., Deployment]


@pytest.fixture(autouse=True)
def usage_is_written_when_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(accounting, "FLUSH_SECONDS", 3600)
    yield
    accounting._pending.clear()
    if accounting._timer:
        accounting._timer.cancel()
        accounting._timer = None


@pytest.fixture
def model(workspace: Workspace, alice: User, data_folder: Path) -> Model:
    (data_folder / "models" / "1").mkdir(parents=True)
    return Model.objects.create(
        workspace=workspace, name="shop helper", family="shop", kind="tuned", state="ready", path="models/1", created_by=alice
    )


@pytest.fixture
def deploy(workspace: Workspace, alice: User, model: Model) -> Deploy:
    def make(name: str = "", **spec: Any) -> Deployment:
        return create_deployment(user=alice, workspace=workspace.slug, spec=ServeSpec(model=model.pk, **spec), name=name)

    return make


@pytest.fixture
def double() -> Double:
    return Double("t" * 8)


@pytest.fixture
def ready(deploy: Deploy, double: Double) -> Iterator[Deployment]:
    """A deployment whose engine is the double."""
    made = deploy("shop-1")
    with Running(double.app) as running:
        Deployment.objects.filter(pk=made.pk).update(
            health=Health.READY, address="127.0.0.1", port=running.port, token=double.token, ready_at=timezone.now()
        )
        made.refresh_from_db()
        yield made


@pytest.fixture
def web(settings: Any) -> Iterator[str]:
    """The real ASGI application behind a real server; gives its address."""
    from webapp.asgi import application

    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with Running(closing(application)) as running:
        yield f"http://127.0.0.1:{running.port}"


def closing(application: Any) -> Any:
    """Connections are shared per event loop; here the last of the running requests closes what the server's loop opened."""
    running = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running
        running += 1
        try:
            await application(scope, receive, send)
        finally:
            running -= 1
            if not running:
                await asyncio.shield(close_connections())

    return app


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()

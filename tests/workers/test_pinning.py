"""DNS rebinding: a name that answers otherwise a moment after its check leads nowhere else (S9.4)."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from workers.evaluate.endpoint import Endpoint
from workers.pinning import AsyncPinned, Pinned
from workers.spec.run import ModelInput

CHECKED, INSIDE = "127.0.0.2", "127.0.0.1"


@contextmanager
def listening(address: str, port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """A server at one address; yields its port and the Host headers that reached it."""
    hosts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            hosts.append(self.headers["Host"])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, hosts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that now says that models.example lies inside."""
    real = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real(INSIDE if name == "models.example" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_examination_goes_to_the_checked_address_only(rebound: None) -> None:
    with listening(CHECKED) as (port, good), listening(INSIDE, port) as (_, bad):
        url = f"http://models.example:{port}/v1"
        assert httpx.post(f"{url}/x", json={}, trust_env=False).is_success
        assert (len(bad), len(good)) == (1, 0), "by its name it would be reached"

        async def ask() -> None:
            given = ModelInput(id=1, name="m", base_url=url, addresses=[CHECKED], remote_name="big")
            endpoint = Endpoint(given)
            assert await endpoint.post("/chat/completions", {}) == {}
            await endpoint.close()

        asyncio.run(ask())
        assert (bad, good) == ([f"models.example:{port}"], [f"models.example:{port}"])


def test_next_checked_address_is_tried_when_one_does_not_answer(rebound: None) -> None:
    with listening(CHECKED) as (port, good):
        url = f"http://models.example:{port}"
        addresses = ["127.0.0.3", CHECKED]
        with httpx.Client(transport=Pinned(url, addresses), trust_env=False) as client:
            assert client.post(f"{url}/v1", json={"a": 1}).is_success

        async def ask() -> None:
            async with httpx.AsyncClient(transport=AsyncPinned(url, addresses), trust_env=False) as client:
                assert (await client.post(f"{url}/v1", json={"a": 1})).is_success

        asyncio.run(ask())
        assert len(good) == 2


@pytest.mark.parametrize(("url", "addresses"), [("http://other.example/v1", [CHECKED]), ("http://models.example/v1", [])])
def test_what_has_not_been_checked_is_not_called(url: str, addresses: list[str]) -> None:
    with (
        httpx.Client(transport=Pinned("http://models.example/v1", addresses), trust_env=False) as client,
        pytest.raises(httpx.UnsupportedProtocol, match="has not been checked"),
    ):
        client.get(url)


def test_certificate_is_asked_for_by_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def handle(_: Any, request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    with httpx.Client(transport=Pinned("https://models.example/v1", ["2001:db8::1"]), trust_env=False) as client:
        client.get("https://models.example/v1/models")
    (request,) = seen
    assert str(request.url) == "https://[2001:db8::1]/v1/models"
    assert request.headers["Host"] == "models.example"
    assert request.extensions["sni_hostname"] == "models.example"

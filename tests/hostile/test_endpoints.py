"""Nobody makes the server call itself or its neighbours through an endpoint (S9.4): a table of ways to try."""

import socket
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_both, assert_refused
from webapp.accounts.models import Workspace
from webapp.registry import endpoints
from webapp.registry.models import Model

URL = "/api/v1/workspaces/academy/models/endpoint"

PRIVATE = [
    "http://127.0.0.1/v1", "http://127.1/v1", "http://127.255.255.254:8000/v1", "http://localhost/v1", "http://LOCALHOST./v1",
    "http://0.0.0.0/v1", "http://0/v1", "http://[::1]/v1", "http://[::]/v1", "http://[::ffff:127.0.0.1]/v1",
    "http://[::ffff:7f00:1]/v1", "http://[::127.0.0.1]/v1", "http://[fe80::1]/v1", "http://[fec0::1]/v1", "http://[fd00::1]/v1",
    "http://[64:ff9b::7f00:1]/v1", "http://[64:ff9b:1::7f00:1]/v1", "http://[2002:7f00:1::]/v1",
    "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/latest", "http://100.100.100.200/latest",
    "http://10.0.0.1/v1", "http://172.16.5.4/v1", "http://192.168.1.1/v1", "http://192.0.0.192/v1", "http://198.18.0.1/v1",
    "http://255.255.255.255/v1", "http://224.0.0.1/v1", "http://240.0.0.1/v1",
    "http://2130706433/v1", "http://0x7f000001/v1", "http://0x7f.0.0.1/v1", "http://0177.0.0.1/v1", "http://017700000001/v1",
    "http://１２７．１/v1", "http://①②⑦.⓪.⓪.①/v1",
]  # fmt: skip
NO_URL = [
    "file:///etc/passwd", "ftp://example.org/v1", "gopher://127.0.0.1:6379/_FLUSHALL", "unix:///tmp/x.sock", "//127.0.0.1/v1",
    "http://user:pass@example.org/v1", "http://user@example.org/v1", "http://:x@example.org/v1", "https://example.org/v1?x=1",
    "https://example.org/v1#x", "https://example.org:0/v1", "https://example.org:99999/v1", "https://example.org:x/v1",
    "http://[::1/v1", "http://]/v1", "http://", "", " ", "javascript:alert(1)", "data:text/html,x", "127.0.0.1",
    "\\\\host\\share",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_addresses_of_its_own_network_are_refused(alice_client: Client, workspace: Workspace, url: str) -> None:
    for check in (True, False):
        answer = alice_client.post(URL, {"url": url, "check": check}, "application/json")
        assert answer.status_code == 400, answer.content
        assert answer.json()["error"]["code"] in {"endpoint.private_address", "endpoint.unknown_host", "endpoint.bad_url"}
    assert not Model.objects.exists()


@pytest.mark.parametrize("url", NO_URL)
def test_what_is_no_endpoint_is_refused(alice_client: Client, workspace: Workspace, url: str) -> None:
    assert_refused(alice_client, "POST", URL, {"url": url}, "endpoint.bad_url", status=400)
    assert not Model.objects.exists()


def resolver(*answers: str) -> Any:
    """A name server that gives the answers one after the other, and the last one for ever."""
    left = list(answers)

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    return look_up


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:192.168.0.1"])
def test_public_name_of_a_private_address(
    alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(endpoints.socket, "getaddrinfo", resolver(address))
    error = assert_refused(
        alice_client, "POST", URL, {"url": "https://models.example/v1"}, "endpoint.private_address", status=400
    )
    assert "models.example" in error["message"]


def test_name_that_changes_its_address_after_the_check(
    alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the connection goes to the address that was checked, whatever the name says a moment later."""
    called: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        called.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(endpoints.socket, "getaddrinfo", resolver("93.184.215.14", "127.0.0.1"))
    monkeypatch.setattr(socket, "create_connection", connect)
    assert_refused(alice_client, "POST", URL, {"url": "http://models.example/v1"}, "endpoint.private_address")
    monkeypatch.setattr(endpoints.socket, "getaddrinfo", resolver("93.184.215.14", "93.184.215.14", "127.0.0.1"))
    answer = alice_client.post(URL, {"url": "http://models.example/v1"}, "application/json")
    assert answer.json()["error"]["code"] == "endpoint.unreachable"
    assert {address[0] for address in called} <= {"93.184.215.14"}


def test_page_says_it_too(alice_client: Client, workspace: Workspace) -> None:
    pages = [
        alice_client.post("/w/academy/models/endpoint/", {"url": "http://127.0.0.1/v1"}, headers={"accept-language": language})
        for language in ("en", "zh-hans")
    ]
    assert [page.status_code for page in pages] == [pages[0].status_code] * 2
    assert pages[0].status_code in {200, 400, 422}
    assert all("SHUYUAN_ALLOWED_ENDPOINTS" in page.content.decode() for page in pages)
    errors = [
        alice_client.post(URL, {"url": "http://127.0.0.1/v1"}, "application/json", headers={"accept-language": language})
        for language in ("en", "zh-hans")
    ]
    sentences = [answer.json()["error"]["message"] for answer in errors]
    template = (
        "{host} lies at {address}, inside a private network, and may not be called; "
        "whoever runs the server can allow it with SHUYUAN_ALLOWED_ENDPOINTS={host}:{port}."
    )
    assert_both(sentences[0], sentences[1], template)

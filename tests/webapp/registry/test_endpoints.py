"""Endpoints of somebody else: keys stay secret, and nobody reaches the server's own network through one (S9.4)."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.test import Client

from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.registry import endpoints, secrets, services
from webapp.registry.endpoints import check_endpoint, list_models
from webapp.registry.inputs import endpoint_environment, model_input
from webapp.registry.models import Model

PUBLIC = "93.184.215.14"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(
        endpoints.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 443)) for address in addresses]
    )


def code_of(url: str) -> str:
    with pytest.raises(UserError) as caught:
        check_endpoint(url)
    return caught.value.code


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:0a00:0001::", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolve_to(monkeypatch, address)
    assert code_of("https://models.example/v1") == "endpoint.private_address"


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, PUBLIC, "10.0.0.1")
    assert code_of("https://models.example/v1") == "endpoint.private_address"


def test_public_addresses_pass_and_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, PUBLIC)
    target = check_endpoint(" https://models.example/v1/ ")
    assert (target.url, target.port, target.addresses) == ("https://models.example/v1", 443, (PUBLIC,))


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "https://", "file:///etc/passwd", "https://a:b@x/v1", "https://x/v1?k=1", "x", "https://x:99999/"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    assert code_of(url) == "endpoint.bad_url"


def test_unknown_hosts_are_named() -> None:
    assert code_of("https://nowhere.invalid/v1") == "endpoint.unknown_host"


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        (["127.0.0.1"], True), (["127.0.0.1:8123"], True), (["127.0.0.0/8"], True), (["127.0.0.1:80"], False),
        (["10.0.0.0/8"], False), (["other"], False),
    ],
)  # fmt: skip
def test_the_operator_may_allow_addresses(settings: Any, allowed: list[str], passes: bool) -> None:
    settings.ALLOWED_ENDPOINTS = allowed
    if passes:
        assert check_endpoint("http://127.0.0.1:8123/v1").port == 8123
    else:
        assert code_of("http://127.0.0.1:8123/v1") == "endpoint.private_address"


def test_keys_are_encrypted_and_bound_to_the_secret_key(settings: Any) -> None:
    token = secrets.encrypt("sk-abc")
    assert "sk-abc" not in token
    assert secrets.decrypt(token) == "sk-abc"
    settings.SECRET_KEY = "another-key-" + "1" * 40
    with pytest.raises(UserError, match="enter the endpoint's key again"):
        secrets.decrypt(token)
    assert secrets.encrypt("") == secrets.decrypt("") == ""


class Provider(BaseHTTPRequestHandler):
    """Answers GET /v1/models for the right key; redirects elsewhere on /moved."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        good = self.headers.get("Authorization") == "Bearer sk-good"
        content = json.dumps({"data": [{"id": "big"}, {"id": "small"}]}).encode() if good else b"{}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider(settings: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    settings.ALLOWED_ENDPOINTS = [f"127.0.0.1:{server.server_port}"]
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_add_endpoint_asks_it_and_keeps_the_key_secret(
    alice: User, alice_client: Client, workspace: Workspace, provider: str
) -> None:
    def add(**given: str) -> Model:
        return services.add_endpoint(user=alice, slug="academy", url=f"{provider}/v1", **given)

    with pytest.raises(UserError, match="refuses the key"):
        add(key="wrong", remote_name="big")
    with pytest.raises(UserError, match="big, small"):
        add(key="sk-good", remote_name="none")
    model = add(key="sk-good", remote_name="big", name="Their big one")
    assert "sk-good" not in model.endpoint_key
    assert endpoint_environment(model) == {"SHUYUAN_ENDPOINT_KEY": "sk-good"}
    given = model_input(model)
    assert (given.base_url, given.remote_name, given.path) == (f"{provider}/v1", "big", None)
    assert given.addresses == ["127.0.0.1"]
    assert "sk-good" not in alice_client.get(f"/w/academy/models/{model.pk}/").content.decode()
    assert "sk-good" not in alice_client.get(f"/api/v1/models/{model.pk}").content.decode()
    services.replace_endpoint_key(user=alice, model_id=model.pk, key="sk-new")
    model.refresh_from_db()
    assert endpoint_environment(model) == {"SHUYUAN_ENDPOINT_KEY": "sk-new"}


def test_redirects_are_not_followed(provider: str) -> None:
    with pytest.raises(UserError) as caught:
        list_models(f"{provider}/moved", "sk-good")
    assert (caught.value.code, caught.value.params["answer"]) == ("endpoint.refused", 302)


def test_an_endpoint_that_is_away_is_named(settings: Any) -> None:
    settings.ALLOWED_ENDPOINTS = ["127.0.0.1"]
    with pytest.raises(UserError, match="does not answer"):
        list_models("http://127.0.0.1:9/v1", "")

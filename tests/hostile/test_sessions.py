"""Sessions, cookies, keys and CSRF: who is not who they say gets one clear answer (S10.2, N7)."""

from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_refused, assert_sentence, call
from tests.webapp.test_routes import api_operations, routes
from webapp.accounts import attempts
from webapp.accounts.models import ApiKey, FailedLogIn, User, Workspace
from webapp.accounts.services import create_key, create_workspace

MACHINES = {"health", "gateway_models", "gateway_model", "gateway_embeddings", "gateway_unknown"}
"""Routes that take no form: the gateway answers with its own errors (test_gateway)."""


@pytest.fixture
def strict(alice: User, workspace: Workspace) -> Client:
    """A browser that is logged in and forgets its CSRF token."""
    client = Client(enforce_csrf_checks=True, headers={"accept": "text/html"})
    client.force_login(alice)
    return client


def test_every_form_wants_the_csrf_token(strict: Client) -> None:
    for name, address in routes():
        if name in MACHINES:
            continue
        answer = strict.post(address, {"name": "x"})
        assert answer.status_code in {403, 405}, f"POST {address} answers {answer.status_code} without a CSRF token"


def test_every_operation_of_the_api_wants_the_csrf_token(strict: Client) -> None:
    for method, address in api_operations():
        if method == "GET":
            continue
        answer = call(strict, method, address)
        assert answer.status_code == 403, f"{method} {address} answers {answer.status_code}"
        assert answer.json()["error"]["code"] == "auth.csrf"
    assert_refused(strict, "POST", "/api/v1/workspaces", {"name": "x"}, "auth.csrf", status=403)


def test_gateway_wants_the_csrf_token_of_a_session(strict: Client, alice: User) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/elsewhere"):
        answer = call(strict, "POST", path, {"model": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf_failed")


def test_scripts_without_a_good_key_are_told_about_keys(workspace: Workspace, alice: User) -> None:
    """Not about CSRF: they have no session."""
    client = Client(enforce_csrf_checks=True)
    reading = create_key(user=alice, name="k", scopes=["read"])[1]
    url = "/api/v1/workspaces/academy/datasets"
    for text in ("", "sy_00000000_x", "sy__", "nonsense", "Ünicode", reading, reading[:-1]):
        headers = {"Authorization": f"Bearer {text}"} if text else {}
        answer = call(client, "POST", url, {"name": "x"}, **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "auth.required"), text
        assert_sentence(answer.json()["error"]["message"])
    assert call(client, "GET", url, **{"Authorization": f"Bearer {reading}"}).status_code == 200


def test_cookies_are_closed_to_scripts_and_other_sites(alice: User, workspace: Workspace) -> None:
    client = Client()
    answer = client.post("/login/", {"username": "alice", "password": "alice-password"})
    assert answer.status_code == 302
    session = answer.cookies["shuyuan_session"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert client.get("/login/").cookies["shuyuan_csrf"]["samesite"] == "Lax"
    headers = client.get("/w/academy/", headers={"accept": "text/html"}).headers
    assert "script-src 'self';" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example", "\x00"])
def test_no_way_leads_to_another_site(alice: User, workspace: Workspace, target: str) -> None:
    client = Client()
    answer = client.post("/login/", {"username": "alice", "password": "alice-password", "next": target})
    assert "evil" not in answer.headers["Location"]
    assert "javascript" not in answer.headers["Location"]
    switched = client.post("/language/", {"language": "zh-hans", "next": target})
    assert "evil" not in switched.headers.get("Location", "")
    assert "javascript" not in switched.headers.get("Location", "")


# Keys


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def bound(alice: User, workspace: Workspace) -> str:
    """A key for reading and writing in Academy only."""
    return create_key(user=alice, name="bound", scopes=["read", "write"], workspace=workspace)[1]


def test_key_of_one_workspace_sees_no_other(alice: User, bound: str, client: Client) -> None:
    create_workspace(user=alice, name="Other")
    assert call(client, "GET", "/api/v1/workspaces/academy", **bearer(bound)).status_code == 200
    refused = call(client, "GET", "/api/v1/workspaces/other", **bearer(bound))
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert call(client, "POST", "/api/v1/workspaces/other/datasets", {"name": "x"}, **bearer(bound)).status_code == 404
    listed = call(client, "GET", "/api/v1/workspaces", **bearer(bound)).json()["items"]
    assert [row["slug"] for row in listed] == ["academy"]
    made = call(client, "POST", "/api/v1/workspaces", {"name": "Third"}, **bearer(bound))
    assert (made.status_code, made.json()["error"]["code"]) == (403, "key.one_workspace")


def test_key_makes_no_key_that_may_more_or_lasts_longer(alice: User, bound: str, client: Client) -> None:
    url = "/api/v1/workspaces/academy/keys"
    for scopes in (["all"], ["admin"], ["inference"], ["read", "inference"]):
        refused = call(client, "POST", url, {"name": "more", "scopes": scopes}, **bearer(bound))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "key.beyond_own")
        assert_sentence(refused.json()["error"]["message"])
    ApiKey.objects.update(expires_at="2099-01-01T00:00Z")
    made = call(client, "POST", url, {"name": "same", "scopes": ["read"]}, **bearer(bound))
    assert made.status_code == 201
    assert ApiKey.objects.get(pk=made.json()["id"]).expires_at is not None


def test_key_of_one_workspace_revokes_no_key_of_another(alice: User, bound: str, client: Client) -> None:
    other = create_key(user=alice, name="general", scopes=["all"])[0]
    assert call(client, "DELETE", f"/api/v1/keys/{other.pk}", **bearer(bound)).status_code == 404
    other.refresh_from_db()
    assert other.revoked_at is None


# Guessing passwords


def guess(client: Client, name: str = "alice", word: str = "-", address: str = "10.0.0.1", **options: Any) -> Any:
    return client.post("/login/", {"username": name, "password": word}, REMOTE_ADDR=address, **options)


def test_guessing_a_password_is_slowed_down(alice: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten failures even the right password has to wait; other people and other addresses do not."""
    client = Client(headers={"accept": "text/html"})
    for _ in range(attempts.PER_NAME):
        assert guess(client).status_code == 200
    for language, word in (("en", "try again in 15 min."), ("zh-hans", "15 分钟")):
        refused = guess(client, "ALICE", "alice-password", headers={"accept-language": language})
        assert refused.status_code == 429
        assert word in refused.content.decode()
    assert guess(client, "bob").status_code == 200
    assert guess(client, "alice", "alice-password", "10.0.0.2").status_code == 302
    monkeypatch.setattr(attempts, "WINDOW", attempts.WINDOW * 0)
    assert guess(client, "alice", "alice-password").status_code == 302
    assert not FailedLogIn.objects.filter(username="alice", address="10.0.0.1").exists()


def test_guessing_many_names_from_one_address_is_slowed_down(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PER_ADDRESS", 5)
    client = Client()
    for number in range(5):
        assert guess(client, f"user{number}").status_code == 200
    assert guess(client, "another").status_code == 429
    assert guess(client, "x" * 5000, address="10.0.0.3").status_code == 200
    assert guess(client, "\x00", address="10.0.0.3").status_code == 200


def test_spent_and_invented_links_say_one_sentence(workspace: Workspace) -> None:
    client = Client(headers={"accept": "text/html"})
    for address in ("/login/invented/", "/invitation/invented/", "/login/" + "x" * 3000 + "/", "/invitation/%00/"):
        assert client.get(address).status_code in {400, 404}

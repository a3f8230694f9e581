"""The gateway under attack: whatever comes, the answer is an OpenAI error object (S8.6). Real server, engine double."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.webapp.serving.conftest import deploy, double, model, ready, usage_is_written_when_asked, web
from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_key
from webapp.serving.models import Deployment, Health

__all__ = ["deploy", "double", "model", "ready", "usage_is_written_when_asked", "web"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def http(web: str, alice: User, workspace: Workspace, ready: Deployment) -> Iterator[httpx.Client]:
    key = create_key(user=alice, name="k", scopes=["inference"])[1]
    with httpx.Client(base_url=web, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60) as client:
        yield client


def assert_openai(answer: httpx.Response, status: int, code: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"].endswith("_error")
    assert error["message"].endswith((".", "。"))
    assert "Traceback" not in error["message"]


GOOD = {"model": "shop-1", "messages": [{"role": "user", "content": "hello"}]}


def test_bad_requests(http: httpx.Client, alice: User, ready: Deployment) -> None:
    chat = "/v1/chat/completions"
    cases: list[tuple[bytes | dict[str, Any] | list[int], int, str]] = [
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"model": "shop-1", "temperature": NaN}', 400, "invalid_json"),
        (b'{"model": "shop-1", "seed": ' + b"9" * 9000 + b"}", 400, "invalid_json"),
        ([1], 400, "invalid_json"),
        (b"null", 400, "invalid_json"),
        ({}, 400, "missing_model"),
        ({"model": 7}, 400, "missing_model"),
        ({"model": ["shop-1"]}, 400, "missing_model"),
        ({"model": "nothing"}, 404, "model_not_found"),
        ({"model": "../../etc/passwd"}, 404, "model_not_found"),
        ({"model": "x" * 10_000}, 404, "model_not_found"),
        ({"model": "other-workspace/shop-1"}, 404, "model_not_found"),
        (b'{"model": "\\ud800"}', 404, "model_not_found"),
        (b'{"model": "shop\\u0000-2"}', 404, "model_not_found"),
    ]
    for body, status, code in cases:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert_openai(http.post(chat, content=content), status, code)
    huge = b'{"model": "shop-1", "messages": "' + b"x" * (11 << 20) + b'"}'
    assert_openai(http.post(chat, content=huge), 413, "request_too_large")
    assert http.post(chat, json=GOOD).status_code == 200, "after all that it still answers"


def test_halves_of_characters_reach_no_engine(http: httpx.Client, double: Any) -> None:
    content = b'{"model": "shop-1", "messages": [{"role": "user", "content": "a\\ud800b\\u0000c"}]}'
    assert http.post("/v1/chat/completions", content=content).status_code == 200
    assert double.requests[-1]["messages"][0]["content"] == "a?bc"
    streamed = content.replace(b'"messages"', b'"stream": true, "stream_options": "no", "messages"')
    assert http.post("/v1/chat/completions", content=streamed).status_code == 200


def test_who_may_not(http: httpx.Client, web: str, alice: User, charlie: User) -> None:
    reading = create_key(user=alice, name="k", scopes=["read", "write"])[1]
    stranger = create_key(user=charlie, name="k", scopes=["inference"])[1]
    for text in ("", "sy_00000000_x", "sk-openai", "é", "a" * 5000, reading):
        headers = {"Authorization": f"Bearer {text}".encode()} if text else {}
        answer = httpx.post(f"{web}/v1/chat/completions", json=GOOD, headers=headers, trust_env=False)
        assert_openai(answer, 401, "invalid_api_key")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = httpx.post(f"{web}/v1/chat/completions", json=GOOD, headers={"Authorization": f"Bearer {stranger}"}, trust_env=False)
    assert_openai(answer, 404, "model_not_found")


def test_odd_ways(http: httpx.Client) -> None:
    for method, path, status, code in [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
        ("GET", "/v1/models/" + "x" * 3000, 404, "model_not_found"),
        ("POST", "/v1/audio/speech", 404, "unknown_url"),
        ("GET", "/v1/../admin", 404, ""),
    ]:
        answer = http.request(method, path)
        assert answer.status_code == status, (method, path)
        if code:
            assert_openai(answer, status, code)


def test_failed_deployment_says_why(http: httpx.Client, ready: Deployment) -> None:
    error = {"code": "engine.x", "template": "The weights are damaged; import them again.", "params": {}}
    Deployment.objects.filter(pk=ready.pk).update(health=Health.FAILED, error=error)
    answer = http.post("/v1/chat/completions", json=GOOD)
    assert_openai(answer, 503, "model_failed")
    assert "The weights are damaged" in answer.json()["error"]["message"]

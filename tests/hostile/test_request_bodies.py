"""Every operation of the API, fed with nonsense: always JSON with a code and a sentence, never a 500 or a hang."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_refused, assert_sentence, call
from tests.webapp.test_routes import routes
from webapp.accounts.models import Workspace
from webapp.api import api
from webapp.core.bodies import parse_json

HUGE = str(10**30)
QUERY = "?limit=-5&cursor=W10&search=%25_%5C%27%22&kind=%3Cimg%3E&offset=-1&format=exe&days=-1&dataset=99999999999999999999"


def operations() -> Iterator[tuple[str, str]]:
    """(method, path) of the whole API with {slug} filled in."""
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{slug}", "academy")


def filled(path: str, value: str) -> str:
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + value + rest.partition("}")[2]
    return path


BODIES: list[tuple[bytes, str]] = [
    (b"{", "request.bad_json"),
    (b"\xff\xfe{}", "request.bad_json"),
    (b'{"name": NaN}', "request.bad_json"),
    (b'{"seed": -Infinity}', "request.bad_json"),
    (b'{"n": ' + b"9" * 5000 + b"}", "request.bad_json"),
    (b"[" * 50_000, "request.too_deep"),
    (b"[" * 400 + b"]" * 400, "request.too_deep"),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_bodies_that_are_no_json(alice_client: Client, workspace: Workspace, body: bytes, code: str) -> None:
    assert_refused(alice_client, "POST", "/api/v1/workspaces/academy/datasets", body, code, status=400)


def test_body_beyond_the_limit(alice_client: Client, workspace: Workspace) -> None:
    body = b'{"name": "' + b"x" * (11 << 20) + b'"}'
    assert_refused(alice_client, "POST", "/api/v1/workspaces/academy/datasets", body, "request.too_large", status=413)


def test_halves_of_characters_and_nul_are_taken_out() -> None:
    assert parse_json(b'{"a\\ud800": ["x\\u0000y", {"k": "\\udfff"}], "ok": "\\ud83d\\ude00"}') == {
        "a?": ["xy", {"k": "?"}],
        "ok": "😀",
    }


@pytest.mark.parametrize("body", [None, [], 7, "text", {}, {"name": {"a": 1}}, {"name": "\ud800\x00<b>", "slug": [], "id": -1}])
def test_no_operation_fails_on_any_shape_of_body(alice_client: Client, workspace: Workspace, body: Any) -> None:
    content = json.dumps(body).encode()
    for method, path in operations():
        if path.strip("/").split("/")[-1] == "workspaces" and method == "POST":
            continue  # may succeed
        check(alice_client, method, filled(path, "1"), content)


@pytest.mark.parametrize("value", ["0", "-1", HUGE, "99999999", "%00", "..", "x" * 300, "%F0%9F%98%80"])
def test_no_operation_fails_on_any_number_or_query(alice_client: Client, workspace: Workspace, value: str) -> None:
    for method, path in operations():
        if "{" in path:
            check(alice_client, method, filled(path, value) + (QUERY if method == "GET" else ""), b"{}")


def check(client: Client, method: str, address: str, content: bytes) -> None:
    answer = call(client, method, address, content)
    assert answer.status_code < 500 or answer.status_code == 507, f"{method} {address}: {answer.status_code}"
    if answer.status_code >= 400 and answer.headers["Content-Type"].startswith("application/json"):
        error = answer.json()["error"]
        assert error["code"], address
        assert_sentence(error["message"])
    elif answer.status_code >= 400:
        assert answer.status_code in {404, 405}, f"{method} {address}: {answer.status_code} {answer.content[:200]!r}"


@pytest.mark.parametrize("query", ["", QUERY, "?cursor=%FF%FE", "?search=%00", "?" + "a=1&" * 900])
def test_no_page_fails_on_any_query(alice_client: Client, workspace: Workspace, query: str) -> None:
    for _name, address in routes():
        if address.startswith("/w/"):
            answer = alice_client.get(address + query)
            assert answer.status_code < 500, f"{address}{query}: {answer.status_code}"


def test_no_page_fails_on_a_form_of_nonsense(alice_client: Client, workspace: Workspace) -> None:
    form = {"name": "\x00<b>", "upload": "x", "datasets": "1e9", "model": "-1", "percent": "nan", "suite": "[]", "role": "king"}
    for _name, address in routes():
        if address.startswith("/w/"):
            for fields in ({}, form, dict.fromkeys(form, "9" * 40)):
                answer = alice_client.post(address, fields)
                assert answer.status_code < 500, f"POST {address}: {answer.status_code}"

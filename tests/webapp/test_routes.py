"""Every route: anonymous people are sent to log in, strangers get 404, nobody gets a 500 (the access sweep)."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from webapp.accounts.models import Workspace

OPEN = {"health", "login", "login_link", "logout", "sign_up", "invitation", "set_language"}
VALUES: dict[str, Any] = {"int": 1, "str": "x", "slug": "academy", "uuid": "00000000-0000-0000-0000-000000000000", "path": "x"}


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, address with example values) of every page."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "api":
                yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield pattern.name or "", "/" + filled(route)


def filled(route: str) -> str:
    while "<" in route:
        before, _, rest = route.partition("<")
        inside, _, after = rest.partition(">")
        kind, _, name = inside.rpartition(":")
        route = before + str("academy" if name == "slug" else VALUES[kind or "str"]) + after
    return route


def api_operations() -> Iterator[tuple[str, str]]:
    from webapp.api import api

    for path, methods in api.get_openapi_schema()["paths"].items():
        address = path
        while "{" in address:
            before, _, rest = address.partition("{")
            name, _, after = rest.partition("}")
            address = before + ("academy" if name == "slug" else "1") + after
        for method in methods:
            yield method.upper(), address


def test_anonymous_reaches_nothing_but_the_entrance(workspace: Workspace) -> None:
    client = Client()
    for name, address in routes():
        if name in OPEN:
            continue
        for method in ("GET", "POST"):
            status = client.generic(method, address, headers={"accept": "text/html"}).status_code
            assert status in {302, 401, 403, 404, 405}, f"{method} {address} answers {status}"
    for method, address in api_operations():
        assert client.generic(method, address, "{}", "application/json").status_code == 401, f"{method} {address}"


def test_stranger_gets_404_everywhere(workspace: Workspace, charlie_client: Client) -> None:
    for _name, address in routes():
        if not address.startswith("/w/"):
            continue
        for method in ("GET", "POST"):
            status = charlie_client.generic(method, address).status_code
            assert status in {404, 405}, f"{method} {address} answers {status}"


def test_stranger_gets_nothing_from_the_api(workspace: Workspace, charlie_client: Client) -> None:
    for method, address in api_operations():
        if address in {"/api/v1/workspaces"}:
            continue
        status = charlie_client.generic(method, address, "{}", "application/json").status_code
        assert status in {404, 422, 415, 400}, f"{method} {address} answers {status}"


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_list_page_opens_empty_in_both_languages(alice_client: Client, workspace: Workspace, language: str) -> None:
    alice_client.cookies["shuyuan_language"] = language
    names = ["home", "datasets", "labeling", "training", "models", "evaluations", "deployments", "chat", "jobs", "settings"]
    from django.urls import reverse

    for name in names:
        answer = alice_client.get(reverse(name, args=[workspace.slug]))
        assert answer.status_code == 200, name
        assert f'<html lang="{language}"' in answer.content.decode(), name

"""The way of a request from the ASGI server through middleware and view and back."""

import asyncio

import httpx
import pytest
from django.test import override_settings

from webapp.core.handler import ThreadHandler

pytestmark = pytest.mark.django_db(transaction=True)


async def answers(*paths: str) -> list[httpx.Response]:
    transport = httpx.ASGITransport(ThreadHandler())
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await asyncio.gather(*(client.get(path) for path in paths))


def asked(*paths: str) -> list[httpx.Response]:
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        return asyncio.run(answers(*paths))


def test_every_middleware_has_its_say() -> None:
    [page] = asked("/login/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "shuyuan_csrf" in page.cookies


def test_errors_are_sentences_here_too() -> None:
    bad, missing = asked("/login/?next=%00", "/api/v1/nothing")
    assert (bad.status_code, missing.status_code) == (400, 404)
    assert "NUL" in bad.text


def test_strangers_are_sent_to_the_door_side_by_side() -> None:
    pages = asked(*["/w/demo/"] * 12)
    assert {(page.status_code, page.headers["location"]) for page in pages} == {(302, "/login/?next=/w/demo/")}

"""A real browser against the real product. Console errors and CSP violations fail the test that saw them."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import parts
from tests.product import Product

expect.set_options(timeout=60_000)  # a busy machine takes its time
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = parts.browser()
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the browser's driver keeps an event loop in this thread
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """An installation as a newcomer finds it: an empty data folder, the demo prepared by the product."""
    running = Product(tmp_path_factory.mktemp("shuyuan") / "data", demo=True).start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    """A page of somebody who is logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    log_in(opened, product)
    yield opened
    context.close()
    assert not [text for text in problems if not harmless(text)], problems


def log_in(page: Page, product: Product) -> None:
    token = product.manage("loginlink", "admin")
    page.goto(token)


def harmless(text: str) -> bool:
    """What a browser says while a server restarts is no defect of the page."""
    return "WebSocket connection" in text or "net::ERR_" in text or "503" in text

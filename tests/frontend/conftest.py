"""A real browser on the real templates and islands, with the stand-in of tests/frontend/fake.py behind them."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, expect, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
CLOSING_SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=60_000)  # a busy machine takes its time


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Fake:
    """The running stand-in: its address, and what tests do to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.page: Page | None = None

    def call(self, command: str, **values: Any) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/fake/{command}", data=json.dumps(values).encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            state: dict[str, Any] = json.load(answer)
            return state

    def until(self, holds: Callable[[dict[str, Any]], Any], seconds: float = 60) -> dict[str, Any]:
        """The stand-in's state as soon as `holds` of it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.call("state")
            if holds(state):
                return state
            # Waiting through the page lets its routes and dialogs be answered meanwhile.
            self.page.wait_for_timeout(50) if self.page else time.sleep(0.05)
        pytest.fail(f"the stand-in never came to the expected state: {state}")


@pytest.fixture(scope="package")
def fake_server() -> Iterator[str]:
    if not (ROOT / "static" / "dist" / ".vite" / "manifest.json").is_file():
        pytest.skip("the front end is not built: npm ci && npx vite build")
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen([sys.executable, "-m", "tests.frontend.fake", str(port)], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/fragment/", timeout=1).close()  # noqa: S310
            break
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the stand-in ended at its start"
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(60)


class Chromium:
    """One browser for many tests. Should it never answer when a context is closed, it is ended, and started again."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self._start = partial(playwright.chromium.launch, executable_path=path, args=ARGUMENTS)
        self._running = self._start()

    def context(self, **options: Any) -> BrowserContext:
        if not self._running.is_connected():
            self._running = self._start()
        return self._running.new_context(**options)

    def close(self, what: BrowserContext | Browser) -> None:
        patience = threading.Timer(CLOSING_SECONDS, end_browsers)
        patience.start()
        try:
            what.close()
        except Error:
            if self._running.is_connected():
                raise
            print("Chromium did not close a page and was ended", file=sys.stderr)
        finally:
            patience.cancel()

    def end(self) -> None:
        self.close(self._running)


def end_browsers() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                process.kill()


@pytest.fixture(scope="package")
def browser() -> Iterator[Chromium]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("there is no Chromium on PATH")
    with sync_playwright() as playwright:
        running = Chromium(playwright, chromium)
        yield running
        running.end()


@pytest.fixture
def fake(fake_server: str) -> Fake:
    stand_in = Fake(fake_server)
    stand_in.call("reset")
    return stand_in


@pytest.fixture
def page(browser: Chromium, fake: Fake) -> Iterator[Page]:
    """A fresh page; console errors and policy violations that a test does not expect fail it."""
    context = browser.context(base_url=fake.url, viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(60_000)
    opened = fake.page = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    yield opened
    browser.close(context)
    # A failed answer or a dropped socket that a test asks for is reported by the browser itself.
    unexpected = [text for text in troubles if "Failed to load resource" not in text and "WebSocket" not in text]
    assert unexpected == []

"""Uploads in parts. The back end is a stand-in that keeps the upload contract."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e
PARTS = re.compile(r"/api/v1/uploads/\d+")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b'{"text": "hello"}\n' * 260_000)
    return path


def test_file_goes_in_parts_of_at_most_eight_megabytes(page: Page, fake: Fake, big: Path) -> None:
    page.goto("/w/demo/upload")
    page.locator("input[type=file]").set_input_files(big)
    expect(page.locator(".upload-row.is-done")).to_be_visible()
    state = fake.call("state")
    parts = [values for name, values in state["calls"] if name == "PUT part 1"]
    assert state["uploads"] == {"1": big.stat().st_size}
    assert len(parts) > 1
    assert max(part["length"] for part in parts) <= 8 * 1024 * 1024
    expect(page.locator("input[name=upload]")).to_have_value("1")


def test_upload_survives_failing_answers(page: Page, fake: Fake, big: Path) -> None:
    failures = iter([True, False, True, False])

    def sometimes(route: Route) -> None:
        if route.request.method == "PUT" and next(failures, False):
            route.abort()
        else:
            route.continue_()

    page.route(PARTS, sometimes)
    page.goto("/w/demo/upload")
    page.locator("input[type=file]").set_input_files(big)
    expect(page.locator(".upload-row.is-done")).to_be_visible()
    assert fake.call("state")["uploads"] == {"1": big.stat().st_size}


def test_upload_resumes_after_a_reload(page: Page, fake: Fake, big: Path) -> None:
    sent: list[str] = []

    def first_part_only(route: Route) -> None:
        if route.request.method == "PUT" and sent:
            route.abort()
        else:
            sent.append(route.request.method)
            route.continue_()

    page.route(PARTS, first_part_only)
    page.goto("/w/demo/upload")
    page.locator("input[type=file]").set_input_files(big)
    fake.until(lambda state: state["uploads"].get("1", 0) > 0)
    kept = fake.call("state")["uploads"]["1"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute(PARTS)
    page.locator("input[type=file]").set_input_files(big)
    expect(page.locator(".upload-row.is-done")).to_be_visible()
    state = fake.call("state")
    assert state["uploads"] == {"1": big.stat().st_size}
    offsets = [values["offset"] for name, values in state["calls"] if name == "PUT part 1"]
    assert offsets.count(0) == 1
    assert kept in offsets


def test_wrong_kind_and_empty_files_are_refused_with_a_sentence(page: Page, fake: Fake, tmp_path: Path) -> None:
    page.goto("/w/demo/upload")
    picture, empty = tmp_path / "cat.png", tmp_path / "empty.csv"
    picture.write_bytes(b"x")
    empty.write_bytes(b"")
    page.locator("input[type=file]").set_input_files([picture, empty])
    expect(page.get_by_role("alert").filter(has_text="cat.png is of another kind")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="empty.csv is empty")).to_be_visible()
    assert fake.call("state")["uploads"] == {}


def test_file_can_be_dropped(page: Page, fake: Fake) -> None:
    page.goto("/w/demo/upload")
    transfer = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['a,b\\n1,2\\n'], 'table.csv')); return data; }"
    )
    page.dispatch_event("[data-island=upload]", "drop", {"dataTransfer": transfer})
    expect(page.locator(".upload-row.is-done")).to_be_visible()
    assert fake.call("state")["uploads"] == {"1": 8}

"""Review (accept, correct, send back with a reason) and adjudication side by side, by keyboard (S6.11)."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.test_accessibility import findings
from tests.frontend.test_label_tools import press

pytestmark = pytest.mark.e2e


def said(verdict: str) -> list[dict[str, Any]]:
    return [{"q": "verdict", "type": "choice", "value": verdict}]


def open_mode(page: Page, mode: str) -> None:
    page.goto(f"/w/demo/label?tool=when&mode={mode}")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "1")


def sent(fake: Fake) -> dict[str, Any]:
    state = fake.until(lambda found: any(name == "POST /api/v1/tasks/1/annotations" for name, _ in found["calls"]))
    found: dict[str, Any] = next(values for name, values in state["calls"] if name == "POST /api/v1/tasks/1/annotations")
    return found


def review(fake: Fake) -> None:
    annotation = {"id": 5, "who": "A", "value": said("good")}
    fake.call("set", task_extra={"kind": "review", "annotations": [annotation]}, draft_for_all={"value": said("good")})


def test_reviewer_accepts_with_the_keyboard(page: Page, fake: Fake) -> None:
    review(fake)
    open_mode(page, "review")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Good")
    expect(page.locator("[data-action=submit]")).to_contain_text("Accept")
    press(page, "Control+Enter")
    assert sent(fake)["value"] == said("good")


def test_reviewer_corrects_and_the_button_says_so(page: Page, fake: Fake) -> None:
    review(fake)
    open_mode(page, "review")
    press(page, "2", "]", "x")
    expect(page.locator("[data-action=submit]")).to_contain_text("Accept as corrected")
    press(page, "Control+Enter")
    assert sent(fake)["value"][0]["value"] == "bad"


def test_reviewer_sends_back_with_a_reason(page: Page, fake: Fake) -> None:
    review(fake)
    open_mode(page, "review")
    press(page, "Shift+R")
    expect(page.get_by_role("dialog", name="Send it back to its author?")).to_be_visible()
    page.keyboard.type("Look at the date. 请看日期。")
    press(page, "Control+Enter")
    asked = sent(fake)
    assert (asked["decision"], asked["reason"]) == ("reject", "Look at the date. 请看日期。")


def test_author_reads_why_the_task_came_back(page: Page, fake: Fake) -> None:
    fake.call("set", task_extra={"review": {"state": "rejected", "reason": "Look at the date.", "by": ""}})
    page.goto("/w/demo/label?tool=when")
    expect(page.locator(".label-notice")).to_contain_text("Look at the date.")


def test_adjudicator_sees_answers_side_by_side_and_takes_one(page: Page, fake: Fake) -> None:
    answers = [{"id": 1, "who": "A", "value": said("good")}, {"id": 2, "who": "B", "value": said("bad")}]
    fake.call("set", task_extra={"kind": "adjudicate", "annotations": answers})
    open_mode(page, "adjudicate")
    assert findings(page) == []
    row = page.locator(".side-table tr.is-different")
    expect(row).to_contain_text("Verdict")
    expect(row.get_by_role("cell")).to_have_text(["GoodTake this", "BadTake this"])
    press(page, "Shift+Digit1")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Good")
    press(page, "Control+Enter")
    assert sent(fake)["value"] == said("good")

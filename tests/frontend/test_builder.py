"""The schema builder: questions put together in the browser with a live preview, errors at the question (S6.9)."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.test_accessibility import findings

pytestmark = pytest.mark.e2e


def open_builder(page: Page) -> None:
    page.goto("/w/demo/builder")
    expect(page.locator(".builder-preview fieldset")).to_be_visible()


def start(page: Page) -> None:
    page.get_by_role("button", name="Start labelling").click()


def add(page: Page, kind: str) -> None:
    """By keyboard: open the menu and press the entry."""
    page.get_by_role("button", name="Add a question").press("Enter")
    page.get_by_role("button", name=kind, exact=True).press("Enter")


def test_choices_are_typed_one_after_the_other_and_shown_at_once(page: Page, fake: Fake) -> None:
    open_builder(page)
    labels = page.locator(".option-label")
    labels.nth(0).fill("Refund")
    labels.nth(1).fill("Delivery 配送")
    labels.nth(1).press("Enter")
    page.keyboard.type("Other")
    preview = page.locator(".builder-preview")
    expect(preview.get_by_role("radio")).to_have_text(["1Refund", "2Delivery 配送", "3Other"])
    page.get_by_label("Key 3").fill("o")
    page.get_by_label("Question", exact=True).fill("What is it about?")
    start(page)
    made = fake.until(lambda state: state["project"])["project"]
    assert made["schema"]["fields"] == [
        {
            "name": "label",
            "type": "choice",
            "label": "What is it about?",
            "required": True,
            "choices": [
                {"value": "yes", "label": "Refund"},
                {"value": "no", "label": "Delivery 配送"},
                {"value": "Other", "hotkey": "o"},
            ],
            "multiple": False,
        }
    ]
    assert made["name"] == "Questions"
    page.wait_for_url("**/w/demo/label")


def test_questions_of_every_kind_are_added_and_previewed(page: Page, fake: Fake) -> None:
    open_builder(page)
    kinds = ["Rating", "Number", "Edit the conversation", "Rank answers", "Rate each answer", "Mark parts of a text",
             "Relations between marks", "Mark a picture", "Choose from a tree", "Judge tool calls"]  # fmt: skip
    for kind in kinds:
        add(page, kind)
    expect(page.locator(".builder-preview fieldset.label-field")).to_have_count(len(kinds) + 1)
    expect(page.locator(".builder-preview .turn-edit")).to_have_count(5)
    expect(page.locator(".builder-preview .a9s-annotationlayer")).to_be_visible()
    start(page)
    fields = fake.until(lambda state: state["project"])["project"]["schema"]["fields"]
    assert len({field["name"] for field in fields}) == len(kinds) + 1
    assert next(field for field in fields if field["type"] == "relations")["spans"] == "spans"


def test_questions_are_moved_and_removed_by_keyboard(page: Page, fake: Fake) -> None:
    open_builder(page)
    add(page, "Rating")
    add(page, "Number")
    page.get_by_role("button", name="Move up: question 3").press("Enter")
    page.get_by_role("button", name="Remove: question 1").press("Enter")
    start(page)
    fields = fake.until(lambda state: state["project"])["project"]["schema"]["fields"]
    assert [field["type"] for field in fields] == ["number", "rating"]


def test_condition_follows_the_question_that_it_names(page: Page, fake: Fake) -> None:
    open_builder(page)
    add(page, "Write or correct a text")
    page.locator(".question-card.is-open summary").click()
    page.get_by_label("Asked", exact=True).select_option(label="Only when “Which label fits?”")
    page.get_by_role("button", name="1 Which label fits?").click()
    page.get_by_role("group").filter(has_text="More settings").locator("summary").click()
    page.get_by_label("Name in the data").fill("topic")
    preview = page.locator(".builder-preview")
    expect(preview.locator("[data-field=topic]")).to_be_visible()
    expect(preview.locator("textarea")).to_be_hidden()
    preview.get_by_role("radio").first.click()
    expect(preview.locator("textarea")).to_be_visible()
    start(page)
    fields = fake.until(lambda state: state["project"])["project"]["schema"]["fields"]
    assert fields[1]["when"] == {"field": "topic", "is": ["yes"]}


def test_error_of_the_server_stands_at_its_question(page: Page, fake: Fake) -> None:
    open_builder(page)
    add(page, "Number")
    add(page, "Rating")
    error = {"code": "label.bad_schema", "message": "The smallest value is missing.", "details": {"place": "fields.1.number.min"}}
    fake.call("set", refuse_project=error)
    start(page)
    card = page.locator(".question-card").nth(1)
    expect(page.locator(".question-card")).to_have_count(3)
    expect(card.get_by_role("alert")).to_have_text("The smallest value is missing.")
    expect(card.get_by_label("Smallest")).to_be_focused()


def test_experts_edit_json_and_read_why_it_cannot_be_read(page: Page, fake: Fake) -> None:
    open_builder(page)
    page.get_by_role("button", name="As JSON").click()
    area = page.get_by_label("Questions as JSON")
    area.fill("{")
    expect(page.get_by_text("This cannot be read")).to_be_visible()
    area.fill(json.dumps({"fields": [{"name": "stars", "type": "rating", "label": "Stars", "max": 3}]}))
    expect(page.locator(".builder-preview").get_by_role("radio")).to_have_count(3)
    page.get_by_role("button", name="As cards").click()
    expect(page.locator(".question-card")).to_have_count(1)


def test_preset_brings_its_questions(page: Page, fake: Fake) -> None:
    open_builder(page)
    page.get_by_role("radio", name="Mark names").check()
    expect(page.locator(".question-card")).to_have_count(2)
    expect(page.locator(".builder-preview .span-text")).to_contain_text("红楼梦")


def test_builder_has_no_serious_finding(page: Page, fake: Fake) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    open_builder(page)
    add(page, "Rate each answer")
    assert findings(page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert findings(page) == []

"""The conversation editor and the verdicts on tool calls, by keyboard alone (S6.9)."""

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.fake_tools import CONVERSATION
from tests.frontend.test_label_tools import open_tool, press, submitted

pytestmark = pytest.mark.e2e


def test_conversation_is_corrected_reordered_and_marked_by_keyboard(page: Page, fake: Fake) -> None:
    """Edit a turn, delete the system prompt, add a turn, and leave the first answer out of training."""
    open_tool(page, "dialogue")
    press(page, "Delete")  # the system turn
    press(page, "ArrowDown", "t", "Enter", "Control+a")
    page.keyboard.type("Yes, within thirty days.")
    press(page, "Escape", "ArrowDown", "ArrowDown", "a")
    page.keyboard.type("Thank you!")
    press(page, "Escape")
    expect(page.locator(".dialogue-summary")).to_have_text("1 edited · 1 new · 1 removed")
    value = submitted(page, fake)[0]["value"]
    assert value == [
        CONVERSATION[1],
        {"role": "assistant", "content": "Yes, within thirty days.", "train": False},
        CONVERSATION[3],
        CONVERSATION[4],
        {"role": "user", "content": "Thank you!"},
    ]


def test_turns_change_places_and_speakers(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "ArrowDown", "Shift+ArrowDown", "r")
    assert [(turn["role"], turn["content"]) for turn in submitted(page, fake)[0]["value"]][1:3] == [
        ("assistant", "Yes, within ten days."),
        ("assistant", "May I send a book back?"),
    ]


def test_every_step_can_be_undone_and_done_again(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "Delete", "Delete")
    expect(page.locator(".turn-edit")).to_have_count(3)
    press(page, "Control+z", "Control+z")
    expect(page.locator(".turn-edit")).to_have_count(5)
    expect(page.locator(".dialogue-summary")).to_have_text("As in the record")
    press(page, "Control+Shift+z")
    expect(page.locator(".turn-edit")).to_have_count(4)
    assert submitted(page, fake)[0]["value"] == CONVERSATION[1:]


def test_difference_to_the_original_is_shown(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "ArrowDown", "ArrowDown", "Enter", "Control+a")
    page.keyboard.type("Yes, within thirty days.")
    press(page, "Escape", "v")
    expect(page.locator(".turn-changes del")).to_have_text("ten")
    expect(page.locator(".turn-changes ins")).to_have_text("thirty")


def test_deployed_model_answers_anew_and_the_old_answer_comes_back(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    expect(page.get_by_label("Model for new answers")).to_have_value("starter-sft")
    press(page, "ArrowDown", "ArrowDown", "g")
    area = page.locator(".turn-edit textarea").nth(2)
    expect(area).to_have_value("Thirty days, 及时 😀.")
    calls = fake.call("state")["calls"]
    asked = next(values for name, values in calls if name == "POST /v1/chat/completions")
    assert [turn["content"] for turn in asked["messages"]] == [turn["content"] for turn in CONVERSATION[:2]]
    press(page, "Control+z")
    expect(area).to_have_value("Yes, within ten days.")


def test_answer_to_a_question_is_added_behind_it(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    expect(page.get_by_label("Model for new answers")).to_be_visible()
    press(page, "ArrowDown", "ArrowDown", "ArrowDown", "g")
    expect(page.locator(".turn-edit textarea").nth(4)).to_have_value("Thirty days, 及时 😀.")
    expect(page.locator(".turn-edit")).to_have_count(6)


def test_tool_call_is_added_and_its_arguments_must_be_json(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "ArrowDown", "ArrowDown", "c")
    page.keyboard.type("find_order")
    press(page, "Tab", "Control+a")
    page.keyboard.insert_text('{"number": ')
    press(page, "Control+Enter")
    expect(page.get_by_text("The arguments of a tool call are no JSON; mend them.")).to_be_visible()
    page.locator(".call-arguments").focus()
    press(page, "Control+a")
    page.keyboard.insert_text('{"number": 12}')
    turn = submitted(page, fake)[0]["value"][2]
    assert turn["tool_calls"] == [{"type": "function", "function": {"name": "find_order", "arguments": {"number": 12}}}]


def test_rating_beside_the_conversation_is_answered_too(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "]", "4")
    assert [entry["value"] for entry in submitted(page, fake)][1] == 4


def test_draft_of_a_conversation_comes_back(page: Page, fake: Fake) -> None:
    open_tool(page, "dialogue")
    press(page, "Delete")
    fake.until(lambda state: state["drafts"].get("1"))
    page.reload()
    expect(page.locator(".turn-edit")).to_have_count(4)
    expect(page.locator(".dialogue-summary")).to_have_text("1 removed")


def test_each_tool_call_gets_a_verdict(page: Page, fake: Fake) -> None:
    open_tool(page, "trace")
    press(page, "1", "Control+Enter")
    expect(page.get_by_text("Judge the steps that are still open.")).to_be_visible()
    press(page, "2", "n")
    page.keyboard.type("needless: 换算")
    press(page, "Escape")
    assert submitted(page, fake)[0]["value"] == [
        {"index": 1, "verdict": "right"},
        {"index": 3, "verdict": "wrong", "note": "needless: 换算"},
    ]

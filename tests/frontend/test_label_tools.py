"""Each labelling tool finished by keyboard alone (S6.9), against a stand-in that keeps the labelling contract."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.fake_tools import records, schema
from webapp.labeling.schema import checked_schema, checked_value

pytestmark = pytest.mark.e2e


def open_tool(page: Page, tool: str) -> None:
    page.goto(f"/w/demo/label?tool={tool}")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "1")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def submitted(page: Page, fake: Fake, *keys: str) -> list[dict[str, Any]]:
    """Press the keys, submit, and give what the server got; the product's own checks take it as it is."""
    tool = parse_qs(urlsplit(page.url).query)["tool"][0]
    press(page, *keys, "Control+Enter")
    done: list[dict[str, Any]] = fake.until(lambda state: state["done"])["done"]["1"]
    assert checked_value(checked_schema(schema(tool)), done, records(tool)[0]) == done
    return done


def test_tree_is_opened_and_chosen_with_arrows(page: Page, fake: Fake) -> None:
    open_tool(page, "tree")
    assert submitted(page, fake, "ArrowDown", "ArrowDown", "Enter") == [
        {"q": "topic", "type": "tree", "value": [["animal", "dog"]]}
    ]


def test_tree_levels_close_and_open(page: Page, fake: Fake) -> None:
    open_tool(page, "tree")
    press(page, "ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_count(4)
    press(page, "ArrowDown", "ArrowRight", "ArrowRight")
    assert submitted(page, fake, "Enter")[0]["value"] == [["plant", "tree", "oak"]]


def test_number_is_typed_and_kept_within_its_limits(page: Page, fake: Fake) -> None:
    open_tool(page, "number")
    page.keyboard.type("130")
    press(page, "Control+Enter")
    expect(page.locator(".invalid-feedback")).to_have_text("From 0 to 120")
    press(page, "Control+a")
    page.keyboard.type("42")
    assert submitted(page, fake) == [{"q": "age", "type": "number", "value": 42}]


def test_rating_is_one_key(page: Page, fake: Fake) -> None:
    open_tool(page, "rating")
    press(page, "4")
    state = fake.until(lambda found: found["done"])
    assert state["done"]["1"] == [{"q": "stars", "type": "rating", "value": 4}]


def test_ranking_moves_ties_and_places_answers(page: Page, fake: Fake) -> None:
    open_tool(page, "ranking")
    press(page, "ArrowDown", "ArrowDown", "1", "ArrowDown", "ArrowDown", "=")
    expect(page.locator(".ranking-order")).to_have_text("Your order: C › A = B")
    assert submitted(page, fake) == [{"q": "order", "type": "ranking", "value": [["r3"], ["r1", "r2"]]}]


def test_ranking_wants_a_decision_even_for_the_order_that_is_shown(page: Page, fake: Fake) -> None:
    open_tool(page, "ranking")
    press(page, "Control+Enter")
    expect(page.get_by_text("This is needed before you submit.")).to_be_visible()
    assert submitted(page, fake, "Enter")[0]["value"] == [["r1"], ["r2"], ["r3"]]


def test_ranking_is_dragged_too(page: Page, fake: Fake) -> None:
    open_tool(page, "ranking")
    target = page.locator(".rank-card[data-id=r1]")
    page.locator(".rank-card[data-id=r3]").drag_to(target, target_position={"x": 90, "y": 4})
    expect(page.locator(".ranking-order")).to_have_text("Your order: C › A › B")


def test_better_answer_is_one_key(page: Page, fake: Fake) -> None:
    open_tool(page, "pairwise")
    press(page, "ArrowRight")
    state = fake.until(lambda found: found["done"])
    assert state["done"]["1"] == [{"q": "better", "type": "pairwise", "value": "b"}]


def test_answers_are_rated_digit_after_digit(page: Page, fake: Fake) -> None:
    open_tool(page, "response_rating")
    press(page, "5", "2", "1", "Control+Enter")
    expect(page.get_by_text("Rate what is still open.")).to_be_visible()
    assert submitted(page, fake, "0")[0]["value"] == {"r1": {"helpful": 5, "true": 2}, "r2": {"helpful": 1, "true": 0}}


def test_question_appears_only_when_its_condition_holds(page: Page, fake: Fake) -> None:
    open_tool(page, "when")
    press(page, "1")
    expect(page.get_by_text("Why is it bad?")).to_be_hidden()
    press(page, "2")
    expect(page.get_by_text("Why is it bad?")).to_be_visible()
    press(page, "]")
    page.keyboard.type("It is wrong.")
    assert [entry["value"] for entry in submitted(page, fake)] == ["bad", "It is wrong."]


def test_answers_to_hidden_questions_are_not_submitted(page: Page, fake: Fake) -> None:
    open_tool(page, "when")
    press(page, "2", "]")
    page.keyboard.type("It is wrong.")
    press(page, "Escape", "[", "1")
    assert submitted(page, fake) == [{"q": "verdict", "type": "choice", "value": "good"}]


def test_proposal_is_accepted_with_one_key_and_named_in_the_submission(page: Page, fake: Fake) -> None:
    """S6.10: a model's proposal stands in the form when the task comes."""
    value = [{"q": "verdict", "type": "choice", "value": "good"}]
    fake.call("set", task_extra={"predictions": [{"id": 7, "model": "starter-sft", "value": value, "score": 0.92}]})
    open_tool(page, "when")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Good")
    press(page, "Enter")
    state = fake.until(lambda found: found["done"])
    sent = next(values for name, values in state["calls"] if name == "POST /api/v1/tasks/1/annotations")
    assert sent["value"] == value
    assert sent["prediction"] == 7


def test_proposal_that_is_turned_down_leaves_an_empty_form(page: Page, fake: Fake) -> None:
    value = [{"q": "verdict", "type": "choice", "value": "good"}]
    fake.call("set", task_extra={"predictions": [{"id": 7, "model": "starter-sft", "value": value, "score": 0.92}]})
    open_tool(page, "when")
    press(page, "Backspace")
    expect(page.get_by_role("radio", checked=True)).to_have_count(0)
    submitted(page, fake, "2", "]", "x")
    sent = next(v for name, v in fake.call("state")["calls"] if name == "POST /api/v1/tasks/1/annotations")
    assert sent["prediction"] is None


def test_proposal_that_was_changed_is_remembered_over_a_reload(page: Page, fake: Fake) -> None:
    value = [{"q": "verdict", "type": "choice", "value": "good"}]
    fake.call("set", task_extra={"predictions": [{"id": 7, "model": "starter-sft", "value": value, "score": 0.92}]})
    open_tool(page, "when")
    press(page, "2", "]", "x")
    fake.until(lambda state: state["drafts"].get("1"))
    page.reload()
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Bad")
    submitted(page, fake)
    sent = next(v for name, v in fake.call("state")["calls"] if name == "POST /api/v1/tasks/1/annotations")
    assert sent["prediction"] == 7


def test_keys_of_the_tools_on_the_page_are_listed(page: Page, fake: Fake) -> None:
    open_tool(page, "ranking")
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog.get_by_text("As good as the one above")).to_be_visible()
    expect(dialog.get_by_text(re.compile("Choose a label"))).to_have_count(0)


@pytest.mark.parametrize(
    ("tool", "words"),
    [("spans", "has no text"), ("segments", "no such recording"), ("regions", "has no picture"), ("ranking", "no answers")],
)
def test_record_without_what_is_asked_about_says_so_and_can_be_skipped(page: Page, fake: Fake, tool: str, words: str) -> None:
    fake.call("set", records=[{"id": "bare"}, {"id": "bare too"}])
    page.goto(f"/w/demo/label?tool={tool}&records=kept")
    expect(page.get_by_text(words)).to_be_visible()
    press(page, "s")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")

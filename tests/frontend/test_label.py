"""The label island by keyboard. The back end is a stand-in that keeps the labelling contract (S6.9, S6.11)."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e
# Routes are laid before the page opens: a page that is already there may send one more request past a new route.
SUBMIT = re.compile(r"/api/v1/tasks/\d+/annotations")


def open_labels(page: Page, query: str = "") -> None:
    page.goto(f"/w/demo/label{query}")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "1")


def test_one_key_labels_and_brings_the_next_task(page: Page, fake: Fake) -> None:
    open_labels(page)
    for number, key in enumerate("123321", start=1):
        expect(page.locator("[data-island=label]")).to_have_attribute("data-task", str(number))
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="Everything is labelled")).to_be_visible()
    done = fake.until(lambda state: len(state["done"]) == 6)["done"]
    assert done["1"] == [{"q": "intent", "type": "choice", "value": "card_arrival"}]
    assert [done[str(n)][0]["value"] for n in (2, 3, 4)] == ["refund", "order_status", "order_status"]


def test_submission_carries_time_and_a_key_for_repeats(page: Page, fake: Fake) -> None:
    open_labels(page)
    page.keyboard.press("2")
    state = fake.until(lambda found: found["done"])
    sent = next(values for name, values in state["calls"] if name == "POST /api/v1/tasks/1/annotations")
    assert re.fullmatch(r"[0-9a-f-]{36}", sent["key"])
    assert 0 <= sent["lead_time_ms"] < 60_000


def test_seventy_seven_labels_are_found_by_typing(page: Page, fake: Fake) -> None:
    open_labels(page, "?labels=77")
    page.keyboard.type("number 64")
    expect(page.get_by_role("radio")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")
    page.keyboard.type("refund")
    page.keyboard.press("1")
    state = fake.until(lambda found: len(found["done"]) == 2)
    assert [state["done"][key][0]["value"] for key in "12"] == ["intent_64", "refund"]


def test_seventy_seven_labels_begin_with_what_a_model_holds_likeliest(page: Page, fake: Fake) -> None:
    """S6.10: a wrong proposal costs one digit when the right label is among the likeliest, a right one costs Enter."""
    said = {"model": "assistant", "score": 0.4, "ranked": {"intent": ["intent_70", "intent_64"]}}
    value = [{"q": "intent", "type": "choice", "value": "intent_70"}]
    fake.call("set", task_extra={"predictions": [{"id": 7, "value": value, **said}]})
    open_labels(page, "?labels=77")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Intent number 70")
    page.keyboard.press("2")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Intent number 70")
    page.keyboard.press("Enter")
    state = fake.until(lambda found: len(found["done"]) == 2)
    assert [state["done"][key][0]["value"] for key in "12"] == ["intent_64", "intent_70"]


def test_letters_follow_digits_for_a_middle_number_of_labels(page: Page, fake: Fake) -> None:
    open_labels(page, "?labels=14")
    page.keyboard.press("d")
    state = fake.until(lambda found: found["done"])
    assert state["done"]["1"][0]["value"] == "intent_13"


def test_several_choices_and_a_corrected_answer_go_together(page: Page, fake: Fake) -> None:
    open_labels(page, "?fields=several,text")
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.get_by_label("Answer").last.fill("Yes, within sixty days.")
    expect(page.locator(".text-change del")).to_have_text("thirty")
    expect(page.locator(".text-change ins")).to_have_text("sixty")
    page.keyboard.press("Control+Enter")
    state = fake.until(lambda found: found["done"])
    assert state["done"]["1"] == [
        {"q": "topics", "type": "choice", "value": ["card_arrival", "order_status"]},
        {"q": "answer", "type": "text", "value": "Yes, within sixty days."},
    ]


def test_missing_answer_is_asked_for(page: Page, fake: Fake) -> None:
    open_labels(page, "?fields=choice,text")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("This is needed before you submit.")).to_be_visible()
    assert fake.call("state")["done"] == {}


def test_draft_is_saved_and_comes_back_after_a_reload(page: Page, fake: Fake) -> None:
    open_labels(page, "?fields=choice,text")
    page.locator("textarea").fill("A better answer")
    fake.until(lambda state: state["drafts"].get("1"))
    page.reload()
    expect(page.locator("textarea")).to_have_value("A better answer")


def test_draft_of_the_browser_survives_without_the_server(page: Page, fake: Fake) -> None:
    page.route(re.compile("/draft$"), lambda route: route.abort())
    open_labels(page, "?fields=choice,text")
    page.locator("textarea").fill("Typed while the server was away")
    page.reload()
    expect(page.locator("textarea")).to_have_value("Typed while the server was away")


def test_undo_brings_the_last_answer_back(page: Page, fake: Fake) -> None:
    open_labels(page)
    page.keyboard.press("2")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")
    page.keyboard.press("u")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "1")
    expect(page.get_by_role("radio", checked=True)).to_contain_text("Refund")


def test_skip_goes_on_without_an_answer(page: Page, fake: Fake) -> None:
    open_labels(page)
    page.keyboard.press("s")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")
    state = fake.until(lambda found: found["skipped"])
    assert state["skipped"] == [1]
    assert state["done"] == {}


def test_submission_while_the_server_is_away_is_kept_and_sent_later(page: Page, fake: Fake) -> None:
    """S6.11: nothing a person submits is lost, even over a reload."""
    away: list[bool] = []
    page.route("**/api/**", lambda route: route.abort() if away else route.continue_())
    open_labels(page)
    away.append(True)
    page.keyboard.press("2")
    expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
    page.reload()
    expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
    away.clear()
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2", timeout=12_000)
    state = fake.until(lambda found: found["done"])
    assert state["done"] == {"1": [{"q": "intent", "type": "choice", "value": "refund"}]}


def test_kept_work_that_is_then_refused_is_shown_and_offered_again(page: Page, fake: Fake) -> None:
    """S6.11: what waited in the browser and is refused for good does not vanish; it survives a reload, too."""
    line = ["there"]
    keys: list[str] = []
    held: list[Route] = []

    def answer(route: Route) -> None:
        if line[0] == "away":
            route.abort()
        elif line[0] == "slow":
            held.append(route)
        elif line[0] == "refusing" and SUBMIT.search(route.request.url):
            keys.append(route.request.post_data_json["key"])
            route.fulfill(status=422, json={"error": {"code": "label.bad_value", "message": "No such label.", "details": {}}})
        else:
            route.continue_()

    page.route("**/api/**", answer)
    open_labels(page)
    line[0] = "away"
    page.keyboard.press("2")
    expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
    line[0] = "refusing"
    notice = page.get_by_role("alert").filter(has_text="was refused: No such label.")
    expect(notice).to_contain_text("Refund", timeout=20_000)
    line[0] = "slow"
    page.reload()
    expect(notice).to_contain_text("Refund")
    notice.get_by_role("button", name="Send it again").click()
    line[0] = "there"
    for route in held:
        route.continue_()
    state = fake.until(lambda found: found["done"])
    assert state["done"] == {"1": [{"q": "intent", "type": "choice", "value": "refund"}]}
    expect(notice).to_have_count(0)
    again = [values["key"] for name, values in state["calls"] if name == "POST /api/v1/tasks/1/annotations"]
    assert len(again) == 1
    assert again[0] not in keys


def test_refused_work_can_be_given_up(page: Page, fake: Fake) -> None:
    entry = {
        "url": "/api/v1/tasks/1/annotations",
        "json": {"key": "once", "value": [{"q": "intent", "type": "choice", "value": "refund"}]},
        "draft": "nothing",
        "reason": "No such label.",
    }
    open_labels(page)
    page.evaluate(
        """entry => {
          const address = document.querySelector("[data-island=label]").dataset.nextUrl;
          localStorage.setItem(`shuyuan.label.refused.${address}`, JSON.stringify([entry]));
        }""",
        entry,
    )
    page.reload()
    page.get_by_role("button", name="Discard it").click()
    expect(page.get_by_text("was refused")).to_have_count(0)
    page.reload()
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "1")
    expect(page.get_by_text("was refused")).to_have_count(0)
    assert fake.call("state")["done"] == {}


def test_lost_answer_is_repeated_with_the_same_key(page: Page, fake: Fake) -> None:
    lost: list[bool] = []

    def lose_first_answer(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(True)
            route.fetch()
            route.abort()

    page.route(SUBMIT, lose_first_answer)
    open_labels(page)
    page.keyboard.press("3")
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2", timeout=12_000)
    calls = fake.call("state")["calls"]
    keys = [values["key"] for name, values in calls if name == "POST /api/v1/tasks/1/annotations"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_leaving_the_page_gives_the_task_back(page: Page, fake: Fake) -> None:
    open_labels(page)
    page.goto("/w/demo/home")
    fake.until(lambda state: any(name == "POST /api/v1/tasks/1/release" for name, _ in state["calls"]))


def test_twenty_tasks_take_at_most_two_keys_each(page: Page, fake: Fake) -> None:
    """U1: with few labels a task is one key."""
    open_labels(page)
    for _ in range(6):
        task = page.locator("[data-island=label]").get_attribute("data-task")
        page.keyboard.press("1")
        page.wait_for_function("task => document.querySelector('[data-island=label]').dataset.task !== task", arg=task)
    fake.until(lambda state: len(state["done"]) == 6)


def test_answer_that_was_changed_meanwhile_shows_both_versions_and_asks(page: Page, fake: Fake) -> None:
    """S6.11: a stale revision is no dead end; the person sees both answers and chooses."""
    sent: list[dict[str, object]] = []
    stored = {"revision": 2, "value": [{"q": "intent", "type": "choice", "value": "refund"}], "skipped": False}

    def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        error = {"code": "label.stale_revision", "message": "Changed meanwhile.", "details": {"stored": stored}}
        if len(sent) == 1:
            route.fulfill(status=409, json={"error": error})
        else:
            route.continue_()

    page.route(SUBMIT, answer)
    open_labels(page)
    page.keyboard.press("1")
    dialog = page.get_by_role("dialog", name="Changed meanwhile")
    expect(dialog.get_by_role("heading", name="Stored")).to_be_visible(timeout=20_000)
    dialog.get_by_role("button", name="Submit mine").click()
    expect(page.locator("[data-island=label]")).to_have_attribute("data-task", "2")
    assert sent[1]["revision"] == 2
    assert sent[1]["key"] != sent[0]["key"]
    assert sent[1]["value"] == sent[0]["value"]


def test_skip_carries_a_key_for_repeats(page: Page, fake: Fake) -> None:
    open_labels(page)
    page.keyboard.press("s")
    state = fake.until(lambda found: found["skipped"])
    asked = next(values for name, values in state["calls"] if name == "POST /api/v1/tasks/1/skip")
    assert re.fullmatch(r"[0-9a-f-]{36}", asked["key"])

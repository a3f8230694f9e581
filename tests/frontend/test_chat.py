"""The chat island. The back end is a stand-in that streams; offsets count code points, as the real one's do."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e


def open_chat(page: Page) -> None:
    page.goto("/w/demo/chat")
    expect(page.locator("[data-island=chat][data-busy]")).to_be_visible()  # its turns are fetched


def ask(page: Page, text: str = "May I send it back?") -> None:
    box = page.get_by_label("Write a message")
    box.fill(text)
    box.press("Enter")


def finished(page: Page) -> None:
    expect(page.locator("[data-island=chat]")).to_have_attribute("data-busy", "false", timeout=20_000)
    expect(page.locator(".turn.is-assistant").last).to_have_attribute("data-state", "done")


def answers(fake: Fake) -> list[dict[str, Any]]:
    return [turn for turn in fake.call("state")["turns"].values() if turn["role"] == "assistant"]


def called(state: dict[str, Any], ending: str) -> list[dict[str, Any]]:
    """What was sent so far to the addresses with this ending."""
    return [values for name, values in state["calls"] if name.endswith(ending)]


def written(state: dict[str, Any]) -> int:
    """Length of the first answer so far; 0 before its question arrived."""
    return len(state["turns"].get("2", {}).get("content", ""))


def plain(page: Page) -> str:
    """What the reader sees of the newest answer, without white space."""
    return re.sub(r"\s", "", page.locator(".turn.is-assistant .turn-body").last.inner_text())


AT_END = """() => {
  const place = document.querySelector(".chat-scroll");
  return place.scrollHeight - place.scrollTop - place.clientHeight < 2;
}"""


def test_answer_streams_and_ends_with_its_figures(page: Page, fake: Fake) -> None:
    open_chat(page)
    ask(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    finished(page)
    expect(page.locator(".turn-body strong")).to_have_text("30 days")
    expect(page.locator(".turn-body table")).to_be_visible()
    expect(page.locator(".turn-figures")).to_contain_text("86.4 tokens/s")
    expect(page.locator(".turn-body").last).to_contain_text(re.compile(r"before the money\s+goes back\.\s*$"))


def test_model_output_cannot_run_scripts(page: Page, fake: Fake) -> None:
    open_chat(page)
    ask(page)
    finished(page)
    assert page.evaluate("window.hacked") is None
    body = page.locator(".turn.is-assistant .turn-body")
    expect(body.locator("img, script, [onerror], a[href^=javascript]")).to_have_count(0)
    expect(body).to_contain_text("<script>window.hacked = 2</script>")


def test_code_is_highlighted_and_can_be_copied(page: Page, fake: Fake) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_chat(page)
    ask(page)
    finished(page)
    expect(page.locator(".hljs-keyword").first).to_have_text("def")
    page.get_by_role("button", name="Copy the code").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("def refund(order):")


def test_reload_in_the_middle_of_an_answer_loses_nothing(page: Page, fake: Fake) -> None:
    """N4: the text after any number of reloads is the text of an undisturbed answer."""
    open_chat(page)
    ask(page)
    finished(page)
    undisturbed = plain(page)
    fake.call("reset")
    open_chat(page)
    ask(page)
    for _ in range(2):
        fake.until(lambda state: written(state) > 40)
        page.reload()
    finished(page)
    assert plain(page) == undisturbed


def test_dropped_sockets_lose_and_double_nothing(page: Page, fake: Fake) -> None:
    open_chat(page)
    ask(page)
    finished(page)
    undisturbed = plain(page)
    fake.call("reset")
    fake.call("set", speed=0.02)
    open_chat(page)
    ask(page)
    for length in (30, 300, 700):
        fake.until(lambda state, length=length: written(state) > length)
        fake.call("drop")
    finished(page)
    assert plain(page) == undisturbed


def test_escape_stops_the_answer(page: Page, fake: Fake) -> None:
    fake.call("set", speed=0.5)
    open_chat(page)
    ask(page)
    fake.until(lambda state: written(state) > 10)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert answers(fake)[0]["state"] == "stopped"


def test_second_tab_shows_the_same_conversation(page: Page, fake: Fake) -> None:
    open_chat(page)
    other = page.context.new_page()
    open_chat(other)
    ask(page)
    finished(page)
    expect(other.locator(".turn")).to_have_count(2)
    finished(other)
    assert plain(other) == plain(page)


def test_tab_whose_line_opens_late_misses_nothing(page: Page, fake: Fake) -> None:
    """What is said between the first fetch of a page and its socket is on the page, too."""
    open_chat(page)
    fake.until(lambda state: state["chat_sockets"] == 1)
    fake.call("set", refuse_sockets=True)
    other = page.context.new_page()
    open_chat(other)
    fake.until(lambda state: state["fetches"] >= 2)
    ask(page)
    finished(page)
    expect(other.locator(".turn")).to_have_count(0)
    fake.call("set", refuse_sockets=False)
    expect(other.locator(".turn")).to_have_count(2)
    finished(other)
    assert plain(other) == plain(page)


def test_thumbs_down_takes_reasons_and_the_corrected_answer(page: Page, fake: Fake) -> None:
    """N1 begins here: a correction is stored with the turn."""
    open_chat(page)
    ask(page)
    finished(page)
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_role("button", name="Wrong", exact=True).click()
    page.get_by_label("The answer it should have been").fill("Yes, within 60 days.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("the corrected answer is kept")).to_be_visible()
    stored = answers(fake)[0]["feedback"]
    assert stored == {"rating": -1, "reasons": ["incorrect"], "comment": "", "correction": "Yes, within 60 days."}
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")


def test_unchanged_answer_is_no_correction(page: Page, fake: Fake) -> None:
    open_chat(page)
    ask(page)
    finished(page)
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Thank you, noted.")).to_be_visible()
    assert answers(fake)[0]["feedback"]["correction"] == ""


def test_regenerating_makes_a_version_and_versions_can_be_switched(page: Page, fake: Fake) -> None:
    fake.call("set", speed=0.001)
    open_chat(page)
    ask(page)
    finished(page)
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_text("2/2")).to_be_visible()
    finished(page)
    page.get_by_role("button", name="Previous version").click()
    expect(page.get_by_text("1/2")).to_be_visible()
    expect(page.locator(".turn.is-assistant")).to_have_attribute("data-turn", "2")


def test_arrow_up_edits_the_last_question_as_a_new_branch(page: Page, fake: Fake) -> None:
    fake.call("set", speed=0.001)
    open_chat(page)
    ask(page)
    finished(page)
    page.get_by_label("Write a message").press("ArrowUp")
    page.get_by_role("textbox", name="Edit and ask again").fill("And a gift?")
    page.keyboard.press("Enter")
    finished(page)
    expect(page.locator(".turn.is-user")).to_have_text(re.compile("And a gift"))
    expect(page.locator(".turn.is-user")).to_contain_text("2/2")
    parents = [turn["parent"] for turn in fake.call("state")["turns"].values() if turn["role"] == "user"]
    assert parents == [None, None]


def test_suggestion_starts_the_conversation(page: Page, fake: Fake) -> None:
    open_chat(page)
    page.get_by_role("button", name="When does my parcel come?").click()
    expect(page.locator(".turn.is-user")).to_contain_text("When does my parcel come?")
    finished(page)


def test_parameters_are_sent_with_the_next_question(page: Page, fake: Fake) -> None:
    open_chat(page)
    page.get_by_role("button", name="How the model answers").click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("System prompt").fill("Answer in one sentence.")
    page.get_by_role("button", name="Apply").click()
    ask(page)
    # Question and settings go out side by side: either may come first.
    state = fake.until(lambda found: called(found, "/messages") and called(found, "/settings"))
    sent = called(state, "/messages")[0]
    assert sent["parameters"] == {
        "temperature": 0,
        "system_prompt": "Answer in one sentence.",
    }
    assert called(state, "/settings")[0]["system_prompt"] == "Answer in one sentence."


def test_what_nobody_chose_is_left_to_the_model(page: Page, fake: Fake) -> None:
    open_chat(page)
    page.get_by_role("button", name="How the model answers").click()
    expect(page.get_by_label("Temperature")).to_have_value("0.6")
    expect(page.get_by_label("Top-p")).to_have_value("0.55")
    page.get_by_role("button", name="Defaults").click()
    ask(page)
    state = fake.until(lambda found: called(found, "/messages"))
    assert called(state, "/messages")[0]["parameters"] == {"system_prompt": ""}


def test_a_message_goes_out_once_the_server_is_back(page: Page) -> None:
    """A killed web server refuses connections until it is started again; the same key makes repeats harmless."""
    keys: list[str] = []

    def refuse_twice(route: Route) -> None:
        keys.append(route.request.post_data_json["key"])
        if len(keys) < 3:
            route.abort("connectionrefused")
        else:
            route.continue_()

    page.route("**/conversations/1/messages", refuse_twice)
    open_chat(page)
    ask(page, "Are you there?")
    expect(page.locator(".turn.is-user").last).to_contain_text("Are you there?")
    expect(page.get_by_text("as soon as it does")).to_have_count(1)
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_question_that_is_faster_than_the_page_follows_what_was_said(page: Page, fake: Fake) -> None:
    """Asked before the turns have come, it belongs below the last of them, not beside the first."""
    fake.call("fill", turns=4)
    held: list[Route] = []
    let_through: list[bool] = []
    page.route("**/turns", lambda route: route.continue_() if let_through else held.append(route))
    page.goto("/w/demo/chat")
    page.wait_for_function("() => document.activeElement.matches('textarea')")
    ask(page, "And now?")
    page.wait_for_timeout(500)
    let_through.append(True)
    for route in held:
        route.continue_()
    state = fake.until(lambda found: any(turn["content"] == "And now?" for turn in found["turns"].values()))
    [asked] = [turn for turn in state["turns"].values() if turn["content"] == "And now?"]
    assert asked["parent"] is not None
    expect(page.locator(".turn.is-user").last).to_contain_text("And now?")


def test_failed_sending_gives_the_words_back(page: Page, fake: Fake) -> None:
    open_chat(page)
    fake.call("set", fail_next=[503])
    ask(page, "Do not lose me")
    expect(page.get_by_role("alert")).to_contain_text("fails with 503")
    expect(page.get_by_label("Write a message")).to_have_value("Do not lose me")


def half_written(page: Page, fake: Fake) -> None:
    """An answer that is longer than the window and now comes slowly, with the mouse over it."""
    page.set_viewport_size({"width": 800, "height": 420})
    fake.call("set", speed=0.01)
    open_chat(page)
    ask(page)
    fake.until(lambda state: written(state) > 500)
    fake.call("set", speed=2)
    page.wait_for_function("() => document.querySelector('.chat-scroll').scrollTop > 100")
    page.locator(".chat-scroll").hover()


def test_reader_who_scrolled_up_is_left_in_peace(page: Page, fake: Fake) -> None:
    half_written(page, fake)
    page.mouse.wheel(0, -2000)
    page.wait_for_function("() => document.querySelector('.chat-scroll').scrollTop < 40")
    fake.call("set", speed=0.01)
    seen = written(fake.call("state"))
    fake.until(lambda state: written(state) > seen + 60)
    assert page.locator(".chat-scroll").evaluate("element => element.scrollTop") < 40
    expect(page.get_by_role("button", name="To the newest message")).to_be_visible()


def test_reader_who_scrolled_up_a_little_is_not_pulled_down_again(page: Page, fake: Fake) -> None:
    half_written(page, fake)
    page.mouse.wheel(0, -50)
    expect(page.get_by_role("button", name="To the newest message")).to_be_visible()
    fake.call("set", speed=0.01)
    place = page.locator(".chat-scroll").evaluate("element => element.scrollTop")
    seen = written(fake.call("state"))
    fake.until(lambda state: written(state) > seen + 100)
    assert abs(page.locator(".chat-scroll").evaluate("element => element.scrollTop") - place) < 60
    page.get_by_role("button", name="To the newest message").click()
    expect(page.get_by_role("button", name="To the newest message")).to_be_hidden()
    finished(page)
    page.wait_for_function(AT_END)


def test_long_conversation_opens_fast_and_shows_older_messages_on_demand(page: Page, fake: Fake) -> None:
    fake.call("fill", turns=500)
    page.goto("/w/demo/chat", wait_until="commit")
    page.locator(".turn").last.wait_for()
    expect(page.locator(".turn")).to_have_count(40)
    page.get_by_role("button", name="Show earlier messages").click()
    expect(page.locator(".turn")).to_have_count(80)


def test_selected_words_stay_selected_while_an_answer_streams(page: Page, fake: Fake) -> None:
    fake.call("set", speed=0.01)
    open_chat(page)
    ask(page, "Keep me selected")
    fake.until(lambda state: written(state) > 20)
    page.locator(".turn.is-user .turn-body").select_text()
    fake.until(lambda state: written(state) > 120)
    assert page.evaluate("getSelection().toString()").strip() == "Keep me selected"

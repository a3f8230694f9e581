"""The shell in a browser: theme, language, menu, messages, shortcuts, live refresh. The back end is a stand-in."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e


def test_page_has_no_policy_violation_and_one_language(page: Page) -> None:
    page.goto("/w/demo/home")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name="中，中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")


def test_theme_is_set_before_the_first_paint_and_kept(page: Page) -> None:
    page.goto("/w/demo/home")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.route("**/app-*.js", lambda route: route.abort())
    page.reload(wait_until="commit")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_menu_of_a_button_works_by_keyboard(page: Page) -> None:
    page.goto("/w/demo/home")
    button = page.get_by_role("button", name="Theme")
    button.focus()
    page.keyboard.press("ArrowDown")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("button", name="Light", exact=True)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="Like the system")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(page.get_by_role("button", name="Light", exact=True)).to_be_hidden()


def test_menu_stays_in_a_narrow_window_and_closes_beside_it(page: Page) -> None:
    page.set_viewport_size({"width": 240, "height": 500})
    page.goto("/w/demo/home")
    button = page.get_by_role("button", name="Theme")
    button.click()
    page.wait_for_function("""() => {
      const box = document.querySelector(".dropdown-menu.show")?.getBoundingClientRect();
      return box && box.left >= 0 && box.right <= 240;
    }""")
    page.mouse.click(120, 490)
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".dropdown-menu.show")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 390, 1440])
def test_no_page_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for name in ("home", "upload", "label", "chat", "charts"):
        page.goto(f"/w/demo/{name}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_menu_opens_on_a_phone_and_closes_with_escape(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/w/demo/home")
    expect(page.get_by_role("link", name="Models")).to_be_hidden()
    page.get_by_role("button", name="Open the menu").click()
    expect(page.locator("#side")).to_have_class(re.compile(r"\bshow\b"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Models")).to_be_hidden()


def test_skip_link_leads_to_the_content(page: Page) -> None:
    page.goto("/w/demo/home")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_shortcut_sequence_follows_the_chain(page: Page) -> None:
    page.goto("/w/demo/home")
    page.keyboard.type("gm")
    expect(page).to_have_url(re.compile("/w/demo/models$"))
    expect(page.locator(".side-link[aria-current=page]")).to_have_text("Models")


def test_question_mark_lists_the_shortcuts_of_the_page(page: Page) -> None:
    page.goto("/w/demo/home")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Export")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)


def test_error_of_an_htmx_request_is_a_message_and_swaps_nothing(page: Page, fake: Fake) -> None:
    page.goto("/w/demo/home")
    fake.call("set", fail_next=[409])
    before = page.locator("#fails").inner_text()
    page.locator("#fails").click()
    expect(page.get_by_role("alert")).to_contain_text("The stand-in fails with 409.")
    assert page.locator("#fails").inner_text() == before


def test_hx_confirm_asks_in_a_dialog_first(page: Page) -> None:
    page.goto("/w/demo/home")
    page.locator("#asks").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#asked")).to_be_empty()
    page.locator("#asks").click()
    page.get_by_role("dialog").get_by_role("button", name="Continue").click()
    expect(page.locator("#asked")).not_to_be_empty()


def test_live_element_refreshes_on_news_and_after_a_lost_socket(page: Page, fake: Fake) -> None:
    """N4 for pages: what was missed while the socket was gone is fetched when it is back."""
    page.goto("/w/demo/home")
    fake.until(lambda state: "job.7" in state["topics"])
    fake.call("publish", topic="job.7", payload={"events": 3})
    expect(page.locator("#live")).to_have_text("1")
    fake.call("drop")
    expect(page.locator("#live")).to_have_text("2")
    fake.until(lambda state: "job.7" in state["topics"])
    fake.call("publish", topic="job.7")
    expect(page.locator("#live")).to_have_text("3")


def test_news_from_before_the_line_opened_are_seen(page: Page, fake: Fake) -> None:
    """A job that ends between the making of its page and the opening of the socket does not look running for ever."""
    fake.call("set", refuse_sockets=True)
    page.goto("/w/demo/home")
    expect(page.locator("#live")).to_have_text("0")
    fake.call("publish", topic="job.7")
    fake.call("set", refuse_sockets=False)
    expect(page.locator("#live")).to_have_text("1")


def test_times_are_relative_in_the_language_of_the_page(page: Page) -> None:
    page.goto("/w/demo/home")
    expect(page.locator("time[data-relative]")).to_have_attribute("title", re.compile("2026"))
    expect(page.locator("time[data-relative]")).to_have_text(re.compile("ago|in |yesterday|last|next|now"))

"""Segments of sound and film, transcripts and single moments, by keyboard alone; integers in milliseconds (S6.9)."""

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.test_label_tools import open_tool, press, submitted

pytestmark = pytest.mark.e2e


def open_media(page: Page, tool: str) -> None:
    open_tool(page, tool)
    expect(page.locator(".player-clock")).to_have_text("0:00.000 / 0:04.000")


def test_segment_is_begun_ended_labelled_and_transcribed(page: Page, fake: Fake) -> None:
    open_media(page, "segments")
    press(page, "ArrowRight", "i", "ArrowRight", "ArrowUp", "o", "2", "t")
    page.keyboard.type("你好 😀 hello")
    press(page, "Escape")
    [segment] = submitted(page, fake)[0]["value"]
    assert {key: segment[key] for key in ("start_ms", "end_ms", "label", "text")} == {
        "start_ms": 1000, "end_ms": 2100, "label": "dog", "text": "你好 😀 hello",
    }  # fmt: skip


def test_edges_of_a_segment_are_moved_and_steps_undone(page: Page, fake: Fake) -> None:
    open_media(page, "segments")
    press(page, "ArrowRight", "o", "Shift+ArrowRight", ".", "Delete")
    expect(page.locator(".mark-row")).to_have_count(0)
    press(page, "Control+z")
    [segment] = submitted(page, fake)[0]["value"]
    assert (segment["start_ms"], segment["end_ms"]) == (100, 1100)


def test_waveform_is_drawn_under_the_policy(page: Page, fake: Fake) -> None:
    open_media(page, "segments")
    expect(page.locator(".player-wave canvas").first).to_be_visible()
    assert page.evaluate("document.querySelector('.player-wave > div').shadowRoot.adoptedStyleSheets.length") == 1


def test_two_questions_share_one_film(page: Page, fake: Fake) -> None:
    open_media(page, "video")
    expect(page.locator("video")).to_have_count(1)
    press(page, "i", "ArrowRight", "o", "]", "ArrowRight", "m")
    scenes, moments = submitted(page, fake)
    assert [(one["start_ms"], one["end_ms"], one["label"]) for one in scenes["value"]] == [(0, 1000, "cat")]
    assert [(one["at_ms"], one["label"]) for one in moments["value"]] == [(2000, "goal")]

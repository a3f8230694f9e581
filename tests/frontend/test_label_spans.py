"""Spans and relations by keyboard and mouse; offsets are code points, the text is kept as a checksum (S6.9)."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.fake_tools import TOOLS
from tests.frontend.test_label_tools import open_tool, press, submitted

pytestmark = pytest.mark.e2e
TEXT: str = TOOLS["spans"][1]["text"]

WORD = """word => { const node = document.querySelector('.span-text').firstChild; const range = document.createRange();
  const at = node.data.indexOf(word); range.setStart(node, at); range.setEnd(node, at + word.length);
  const box = range.getBoundingClientRect(); return [box.left, box.right, box.top + box.height / 2]; }"""


def bare(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(label, text) of spans whose offsets cut exactly that text out of the record, as Python counts."""
    for span in spans:
        assert TEXT[span["start"] : span["end"]] == span["text"]
    return [(span["label"], span["text"]) for span in spans]


def test_words_are_marked_with_the_keyboard_behind_an_emoji_of_four_code_points(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "ArrowRight", "Shift+ArrowRight", "1")
    press(page, "ArrowRight", "ArrowRight", "3")
    value = submitted(page, fake)[0]["value"]
    assert bare(value)[0] == ("person", "Lin Ying")
    assert value[0]["start"] == len("👩🏽‍🚀 ") == 5
    assert value[1]["text"] in "红楼梦"


def test_emoji_is_marked_whole(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "2")
    value = submitted(page, fake)[0]["value"]
    assert (value[0]["start"], value[0]["end"], value[0]["text"]) == (0, 4, "👩🏽‍🚀")


def test_text_is_marked_with_the_mouse(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    page.locator(".mark-label[data-value=place]").click()
    ends = page.evaluate(WORD, "Paris")
    page.wait_for_timeout(350)
    page.mouse.move(ends[0] + 1, ends[2])
    page.mouse.down()
    page.mouse.move((ends[0] + ends[1]) / 2, ends[2], steps=4)
    page.mouse.move(ends[1] - 1, ends[2], steps=4)
    page.wait_for_timeout(350)
    page.mouse.up()
    expect(page.locator(".mark-row")).to_have_count(1)
    assert bare(submitted(page, fake)[0]["value"]) == [("place", "Paris")]


def test_mark_is_relabelled_trimmed_deleted_and_brought_back(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "ArrowRight", "1", "j", "2", "Shift+ArrowLeft")
    expect(page.locator(".mark-row")).to_contain_text("Place 地Li")
    press(page, "Delete")
    expect(page.locator(".mark-row")).to_have_count(0)
    press(page, "Control+z")
    assert bare(submitted(page, fake)[0]["value"]) == [("place", "Li")]


def test_relation_joins_two_marks(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "ArrowRight", "1", "End", "3", "]", "Enter", "ArrowRight", "Enter", "1")
    expect(page.locator("[data-field=links] .mark-row")).to_have_count(1)
    spans, links = submitted(page, fake)
    assert links["value"] == [{"from": spans["value"][0]["id"], "to": spans["value"][1]["id"], "label": "wrote"}]


def test_relation_goes_with_its_mark(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "ArrowRight", "1", "End", "3", "]", "Enter", "ArrowRight", "Enter", "1")
    expect(page.locator("[data-field=links] .mark-row")).to_have_count(1)
    press(page, "[", "Home", "ArrowRight", "Delete")
    assert [entry["q"] for entry in submitted(page, fake)] == ["entities"]


ARC = """() => { const box = selector => document.querySelector(selector).getBoundingClientRect();
  const [line, stage, marks] = [box(".relation-arc .line"), box(".span-stage"),
    [...document.querySelectorAll(".span-mark")].map(mark => mark.getBoundingClientRect())];
  return {inside: line.left >= stage.left - 1 && line.right <= stage.right + 1,
    above: line.top < Math.min(...marks.map(box => box.top)),
    joins: marks.every(box => line.left < box.right && line.right > box.left),
    sideways: document.documentElement.scrollWidth - innerWidth}; }"""


def test_relation_is_drawn_as_an_arc_over_the_text(page: Page, fake: Fake) -> None:
    """S6.9: what belongs together is seen where it stands; the list and the keyboard stay as they are."""
    open_tool(page, "spans")
    press(page, "ArrowRight", "1", "ArrowRight", "ArrowRight", "3", "]", "Enter", "ArrowRight", "Enter", "1")
    expect(page.locator(".relation-arc text")).to_have_text("wrote")
    page.wait_for_function(
        f"() => {{ const arc = ({ARC})(); return arc.inside && arc.above && arc.joins && arc.sideways === 0; }}"
    )
    press(page, "Escape")
    page.locator(".relation-arc .reach").dispatch_event("click")
    expect(page.locator(".relation-arc")).to_have_class("relation-arc is-selected")
    expect(page.locator("[data-field=links] .mark-row.is-selected")).to_have_count(1)
    press(page, "Delete")
    expect(page.locator(".relation-arc")).to_have_count(0)
    press(page, "Control+z")
    expect(page.locator(".relation-arc")).to_have_count(1)


def test_arc_leads_along_the_margin_to_another_line_and_follows_the_window(page: Page, fake: Fake) -> None:
    open_tool(page, "spans")
    press(page, "ArrowRight", "1", "End", "3", "]", "Enter", "ArrowRight", "Enter", "2")
    line = page.locator(".relation-arc .line")
    expect(line).to_have_count(1)
    wide = line.get_attribute("d")
    page.set_viewport_size({"width": 360, "height": 800})
    expect(line).not_to_have_attribute("d", str(wide))
    page.wait_for_function(f"() => {{ const arc = ({ARC})(); return arc.inside && arc.sideways === 0; }}")


def test_proposed_spans_are_drawn_at_their_place(page: Page, fake: Fake) -> None:
    at = TEXT.index("红楼梦")
    span = {"id": "s1", "start": at, "end": at + 3, "label": "work", "text": "红楼梦"}
    value = [{"q": "entities", "type": "spans", "value": [span]}]
    fake.call("set", task_extra={"predictions": [{"id": 3, "model": "m", "value": value, "score": 0.5}]})
    open_tool(page, "spans")
    expect(page.locator(".mark-row")).to_contain_text("红楼梦")
    ends = page.evaluate(WORD, "红楼梦")
    box = page.locator(".span-mark").bounding_box()
    assert box is not None
    assert abs(box["x"] - ends[0]) < 1
    assert abs(box["x"] + box["width"] - ends[1]) < 1
    assert submitted(page, fake)[0]["value"] == [span]

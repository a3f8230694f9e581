"""Boxes, polygons and points, by keyboard and by mouse, in pixels of the picture (S6.9)."""

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake
from tests.frontend.test_label_tools import open_tool, press, submitted

pytestmark = pytest.mark.e2e
LAYER = "svg.a9s-annotationlayer"


def open_picture(page: Page) -> None:
    open_tool(page, "regions")
    expect(page.locator(LAYER)).to_be_visible()


def test_box_is_made_moved_sized_and_labelled_by_keyboard(page: Page, fake: Fake) -> None:
    open_picture(page)
    press(page, "b", "ArrowRight", "Shift+ArrowUp", "Alt+ArrowRight", "Alt+Shift+ArrowDown", "2")
    expect(page.locator(".mark-row.is-selected")).to_contain_text("Box 101 × 86")
    value = submitted(page, fake)[0]["value"]
    assert value["image"] == {"w": 400, "h": 300}
    [region] = value["regions"]
    assert {key: region[key] for key in ("kind", "x", "y", "w", "h", "label")} == {
        "kind": "box", "x": 151, "y": 102, "w": 101, "h": 86, "label": "dog",
    }  # fmt: skip


def test_region_stays_inside_the_picture(page: Page, fake: Fake) -> None:
    open_picture(page)
    press(page, "b", *["Shift+ArrowLeft"] * 17)
    assert submitted(page, fake)[0]["value"]["regions"][0]["x"] == 0


def test_polygon_gets_a_corner_that_is_moved(page: Page, fake: Fake) -> None:
    open_picture(page)
    press(page, "p", "v", "i", "Shift+ArrowUp")
    points = submitted(page, fake)[0]["value"]["regions"][0]["points"]
    assert points == [[150, 112], [200, 102], [250, 112], [250, 188], [150, 188]]


def test_point_is_set_and_regions_are_deleted_and_brought_back(page: Page, fake: Fake) -> None:
    open_picture(page)
    press(page, "o", "ArrowDown", "b", "Delete")
    expect(page.locator(".mark-row")).to_have_count(1)
    press(page, "Control+z")
    expect(page.locator(".mark-row")).to_have_count(2)
    press(page, "Control+Shift+z")
    expect(page.locator(".mark-row")).to_have_count(1)
    [region] = submitted(page, fake)[0]["value"]["regions"]
    assert (region["kind"], region["x"], region["y"]) == ("point", 200, 151)


def test_box_is_drawn_with_the_mouse_in_pixels_of_the_picture(page: Page, fake: Fake) -> None:
    open_picture(page)
    box = page.locator(".region-picture img").bounding_box()
    assert box is not None
    scale = box["width"] / 400
    page.mouse.move(box["x"] + 50 * scale, box["y"] + 40 * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + 120 * scale, box["y"] + 80 * scale, steps=5)
    page.mouse.move(box["x"] + 200 * scale, box["y"] + 120 * scale, steps=5)
    page.mouse.up()
    expect(page.locator(".mark-row")).to_have_count(1)
    [region] = submitted(page, fake)[0]["value"]["regions"]
    assert region["label"] == "cat"
    for key, wanted in {"x": 50, "y": 40, "w": 150, "h": 80}.items():
        assert region[key] == pytest.approx(wanted, abs=1)


def test_shapes_have_the_colour_of_their_label(page: Page, fake: Fake) -> None:
    open_picture(page)
    press(page, "b", "2", "Escape")
    colour = page.evaluate("getComputedStyle(document.querySelector('.mark-label[data-value=dog]'), '::before').backgroundColor")
    expect(page.locator(f"{LAYER} .a9s-annotation .a9s-inner").first).to_have_css("stroke", colour)

"""The chart island. The back end is a stand-in."""

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e


def test_chart_draws_and_says_in_words_what_it_shows(page: Page) -> None:
    page.goto("/w/demo/charts")
    expect(page.locator(".plot-canvas .scatterlayer path.js-line")).to_have_count(2)
    expect(page.locator(".plot-host > .visually-hidden")).to_contain_text("training: 220 values")
    assert page.locator(".plot-canvas").get_attribute("role") == "img"


def test_chart_follows_live_news(page: Page, fake: Fake) -> None:
    page.goto("/w/demo/charts")
    expect(page.locator(".plot-host")).to_have_attribute("data-drawn", "220")
    fake.until(lambda state: "job.7" in state["topics"])
    fake.call("publish", topic="job.7")
    expect(page.locator(".plot-host")).to_have_attribute("data-drawn", "240")


def test_smoothing_adds_a_trend_and_is_remembered(page: Page) -> None:
    page.goto("/w/demo/charts")
    expect(page.locator(".scatterlayer path.js-line")).to_have_count(2)
    page.get_by_label("Smoothing").fill("0.9")
    expect(page.locator(".scatterlayer path.js-line")).to_have_count(4)
    page.reload()
    expect(page.locator(".scatterlayer path.js-line")).to_have_count(4)


def test_values_can_be_saved_as_csv_and_png(page: Page) -> None:
    page.goto("/w/demo/charts")
    expect(page.locator(".scatterlayer path.js-line")).to_have_count(2)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    lines = saved.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0] == "series,x,y"
    assert len(lines) == 441
    with page.expect_download() as picture:
        page.get_by_role("button", name="Save as PNG").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")


def test_months_on_an_axis_are_in_the_language_of_the_page(page: Page) -> None:
    figure = {
        "data": [{"type": "scatter", "x": [f"2026-{month:02}-01" for month in range(1, 13)], "y": list(range(12))}],
        "layout": {},
    }
    page.route("**/api/v1/figure*", lambda route: route.fulfill(json=figure))
    page.goto("/w/demo/charts")
    expect(page.locator(".plot-canvas .xaxislayer-above")).to_contain_text("Mar")
    page.context.add_cookies([{"name": "shuyuan_language", "value": "zh-hans", "url": page.url}])
    page.goto("/w/demo/charts")
    expect(page.locator(".plot-canvas .xaxislayer-above")).to_contain_text("3月")
    expect(page.locator(".plot-canvas .xaxislayer-above")).not_to_contain_text("Mar")


def test_small_charts_follow_the_axis_chosen_in_the_large_one(page: Page) -> None:
    page.goto("/w/demo/chart_pair")
    expect(page.locator(".plot-host[data-drawn]")).to_have_count(2)
    with page.expect_request("**/figure?name=speed&x=tokens"), page.expect_request("**/figure?name=loss&x=tokens"):
        page.get_by_label("Over").select_option("tokens")
    with page.expect_request("**/figure?name=speed&x=tokens"):
        page.reload()

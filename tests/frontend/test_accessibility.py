"""No serious finding of axe on any sandbox page, light and dark, both languages."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.frontend.conftest import Fake

pytestmark = pytest.mark.e2e
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]});
  return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ` + one.nodes.map(node => node.target.join(" ") + " " + (node.any[0]?.message ?? "")).join(" | "));
}"""


def findings(page: Page) -> list[str]:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci")
    page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(RUN)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ["home", "charts", "upload", "label?labels=14&fields=choice,text", "chat"])
def test_page_has_no_serious_finding(page: Page, fake: Fake, address: str, theme: str) -> None:
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.goto(f"/w/demo/{address}")
    page.wait_for_load_state("networkidle")
    assert findings(page) == []


WORK = [
    ("tree", "Enter"),
    ("number", ""),
    ("rating", ""),
    ("ranking", "ArrowDown ="),
    ("pairwise", ""),
    ("response_rating", "3"),
    ("dialogue", "ArrowDown ArrowDown c v"),
    ("trace", "1"),
    ("spans", "ArrowRight 1 End 3"),
    ("regions", "b"),
    ("regions", "p"),
    ("regions", "b o"),
    ("segments", "ArrowRight o"),
    ("video", "ArrowRight o ] m"),
]


@pytest.mark.parametrize(("tool", "keys"), WORK)
def test_labelling_tool_at_work_has_no_serious_finding(page: Page, fake: Fake, tool: str, keys: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(f"/w/demo/label?tool={tool}")
    page.wait_for_load_state("networkidle")
    for key in keys.split():
        page.keyboard.press(key)
    assert findings(page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert findings(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_answer_with_feedback_has_no_serious_finding(page: Page, fake: Fake, theme: str) -> None:
    fake.call("set", speed=0)
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.goto("/w/demo/chat")
    page.get_by_label("Write a message").fill("Hello")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Bad answer").click()
    assert findings(page) == []

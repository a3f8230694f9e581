"""A real browser on the real product: what others wrote runs nothing, and the policy would stop it if it were markup (N7)."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import browser, log_in
from tests.product import Product

__all__ = ["browser"]
pytestmark = [pytest.mark.e2e]
EVIL = "<img src=x onerror=window.hacked=1>"
SCRIPT = '"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("hostile") / "data", demo=False).start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    opened = context.new_page()
    log_in(opened, product)
    yield opened
    context.close()


def test_foreign_text_runs_nothing(page: Page, product: Product, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Records, names and reports are text; an injected handler and an injected script are stopped by the policy."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{"id": f"{EVIL}{n}", "text": f"{EVIL} {SCRIPT} {n}", "label": [EVIL, SCRIPT][n % 2]} for n in range(8)]
    path = folder / "evil.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + f"{EVIL}\n")
    api = product.api
    slug = api.workspace()
    made = api.post(f"/workspaces/{slug}/datasets", {"upload": api.upload(slug, path), "name": EVIL})
    version = made["version"]["id"]
    api.wait_job(api.get(f"/versions/{version}/lineage")["job"])
    conversation = api.post(f"/workspaces/{slug}/conversations", {"title": f"{EVIL}{SCRIPT}"})["id"]
    api.client.close()
    here = f"{product.url}/w/{slug}"
    addresses = [
        f"{here}/", f"{here}/data/", f"{here}/data/{made['id']}/", f"{here}/data/versions/{version}/",
        f"{here}/data/versions/{version}/records/1/", f"{here}/labelling/new/?version={version}", f"{here}/jobs/",
        f"{here}/chat/{conversation}/", f"{here}/training/new/sft/",
    ]  # fmt: skip
    for address in addresses:
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hacked") is None, address
        assert page.locator("img[src=x]").count() == 0, address
        assert page.locator("a[href^='javascript:']").count() == 0, address
    expect(page.locator("body")).to_be_visible()
    page.goto(f"{here}/data/versions/{version}/records/1/")
    assert EVIL in page.inner_text("main")
    # even if a page let markup through, nothing of it would run
    page.evaluate("""() => {
        const place = document.createElement("div");
        place.innerHTML = "<img src=x onerror='window.hacked=1'><a href='javascript:window.hacked=1' id='evil-link'>x</a>";
        document.body.append(place);
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        document.getElementById("evil-link").click();
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None

"""Every page of the demo workspace as a reader meets it, in a real browser on the real product (N4, N9).

Both languages, light and dark, 1280 and 390 px: no console errors, no horizontal scrolling, no serious finding of axe, and
no English on Chinese pages beyond names and code.
"""

import re
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import log_in
from tests.frontend.test_accessibility import AXE
from tests.product import Product, wait_for
from workers.starter import catalog

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(1200)]
PAGES = [
    "/w/demo/",
    "/w/demo/data/",
    "/w/demo/data/new/",
    "/w/demo/data/1/",
    "/w/demo/data/1/upload/",
    "/w/demo/data/search/?q=a",
    "/w/demo/data/versions/1/",
    "/w/demo/data/versions/1/?q=a&length_min=5",
    "/w/demo/data/versions/1/overview/",
    "/w/demo/data/versions/1/compare/",
    "/w/demo/data/versions/1/process/",
    "/w/demo/data/versions/1/spot-checks/",
    "/w/demo/data/versions/1/change/?q=a&do=set&field=label&value=b",
    "/w/demo/data/versions/3/records/0/",
    "/w/demo/labelling/",
    "/w/demo/labelling/new/",
    "/w/demo/labelling/new/?version=1",
    "/w/demo/labelling/1/",
    "/w/demo/labelling/1/work/",
    "/w/demo/training/",
    "/w/demo/training/new/sft/",
    "/w/demo/training/new/pretrain/",
    "/w/demo/training/new/tokenizer/",
    "/w/demo/models/",
    "/w/demo/models/2/",
    "/w/demo/models/import/",
    "/w/demo/models/endpoint/",
    "/w/demo/evaluation/",
    "/w/demo/evaluation/suites/new/",
    "/w/demo/evaluation/suites/1/",
    "/w/demo/evaluation/runs/2/",
    "/w/demo/evaluation/runs/2/samples/?other=1",
    "/w/demo/deployment/",
    "/w/demo/deployment/deploy/2/",
    "/w/demo/deployment/1/",
    "/w/demo/chat/",
    "/w/demo/jobs/",
    "/w/demo/jobs/1/",
    "/w/demo/settings/",
    "/api/docs/",
]
LANGUAGES = {"en": ("light", "dark"), "zh-hans": ("dark", "light")}
"""Theme on a wide screen and on a phone; between them the languages show every page in all four."""
FIND = """async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
  const part = {include: ["body"], exclude: ["tbody tr:nth-child(n+5)", ".api-operation:nth-child(n+3)"]};
  const found = await axe.run(part, {runOnly: tags, resultTypes: ["violations"]});
  const where = node => node.target.join(" ") + " " + (node.any[0]?.message ?? "");
  return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ` + one.nodes.slice(0, 4).map(where).join(" | "));
}"""
READ = """foreign => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    const text = node.data.trim();
    if (text && !parent.closest(foreign) && parent.checkVisibility({visibilityProperty: true})) texts.push(text);
  }
  return texts;
}"""
FOREIGN = (
    "script, style, noscript, code, pre, kbd, textarea, option, [lang=en], .brand-latin, .log, .ytick, .badge, .record-table a,"
    " .prewrap, .said, .audit-table, .api-operation, .lineage-node, .language-switch, time"
)
"""Where what people wrote, code and records stand."""
NAMES = set(
    re.findall(
        r"\w+",
        """
        Shuyuan starter admin API APIs OpenAI CSV TSV JSON Lines JSONL PNG SHA Alpaca ShareGPT GB18030 UTF BOM GPU CPU LoRA
        Hugging Face Python JavaScript curl llama cpp GGUF OpenVINO openvino LMDeploy Transformers Zip zip gz jsonl json csv tsv
        read write inference createkey pickle Bearer The best answer
        ZIP Parquet datasets MOSS Guanaco LabelLLM COCO Pascal VOC YOLO labelme WanJuan ASR RTX
        PDF DOCX HTML Unicode NFC NFKC MinHash IDF
        LLaMA Factory XTuner DeepSpeed
        txt md ndjson tab safetensors LlamaForCausalLM McNemar URL Ctrl Enter Esc bearer ModelScope Ollama vLLM Redis Celery
        """,
    )
)


@pytest.fixture(scope="module")
def examined(product: Product) -> Product:
    """The demo once its evaluations have run, its figures are there and its deployment answers."""

    api = product.api

    def settled() -> bool:
        jobs = api.get("/workspaces/demo/jobs")["items"]
        deployments = api.get("/workspaces/demo/deployments")["items"]
        return all(job["state"] == "done" for job in jobs) and all(item["state"] == "ready" for item in deployments)

    with closing(api.client):
        wait_for(settled, seconds=900, what="the demo's evaluations", every=0.5)
    return product


@pytest.fixture
def reader(page: Page, examined: Product, request: pytest.FixtureRequest) -> Page:
    page.context.add_cookies([{"name": "shuyuan_language", "value": request.param, "url": examined.url}])
    page.emulate_media(reduced_motion="reduce")
    return page


def names() -> set[str]:
    demo = catalog.files()
    said = [demo.project, *(item.name for item in (*demo.datasets, *demo.models)), *(item.description for item in demo.datasets)]
    return NAMES | {word for name in said for word in re.findall(r"[A-Za-z]+", name.en)}


def english(page: Page) -> list[str]:
    """Words of a Chinese page that are neither names nor code."""
    texts = page.evaluate(READ, FOREIGN)
    known = names()
    return [text for text in texts if set(re.findall(r"(?<![\w./-])[A-Za-z]{3,}(?![\w./-])", text)) - known]


def faults(page: Page, theme: str, width: int) -> list[str]:
    """What is wrong with the open page in this theme and width."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
    found: list[str] = page.evaluate(FIND)
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*found, *([f"{too_wide} px too wide"] if too_wide > 0 else [])]


def look(page: Page, language: str) -> list[str]:
    """All faults of the open page."""
    page.evaluate(AXE.read_text("utf-8"))
    wide, narrow = LANGUAGES[language]
    found = [f"{wide} 1280: {fault}" for fault in faults(page, wide, 1280)]
    if language == "zh-hans":
        found += [f"English: {text}" for text in english(page)]
    return found + [f"{narrow} 390: {fault}" for fault in faults(page, narrow, 390)]


@pytest.mark.parametrize(("reader", "language"), [(name, name) for name in LANGUAGES], indirect=["reader"])
def test_every_page_is_readable_in_both_languages_themes_and_widths(reader: Page, examined: Product, language: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci")
    found = {}
    for path in PAGES:
        reader.set_viewport_size({"width": 1280, "height": 900})
        answer = reader.goto(examined.url + path)
        assert answer is not None
        assert answer.status == 200, path
        expect(reader.locator("html")).to_have_attribute("lang", language)
        reader.wait_for_load_state("load")
        if problems := look(reader, language):
            found[path] = problems
    assert found == {}


@pytest.mark.parametrize(("reader", "language"), [(name, name) for name in LANGUAGES], indirect=["reader"])
def test_an_answer_with_its_feedback_is_readable(reader: Page, examined: Product, language: str) -> None:
    reader.goto(examined.url + "/w/demo/chat/")
    reader.get_by_role("textbox").last.fill("寄到杭州要几天?")
    reader.keyboard.press("Enter")
    answer = reader.locator("article.turn.is-assistant").last
    bad = answer.get_by_role("button", name=re.compile("Bad answer|不好|差评|回答不好"))
    expect(bad).to_be_visible(timeout=60_000)
    bad.click()
    assert look(reader, language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_missing_page_and_the_way_in_are_readable(browser: Browser, examined: Product, language: str) -> None:
    """A context of its own: the browser logs the 404 that is asked for here."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.add_cookies([{"name": "shuyuan_language", "value": language, "url": examined.url}])
    page = context.new_page()
    page.goto(examined.url + "/login/")
    assert look(page, language) == []
    log_in(page, examined)
    page.goto(examined.url + "/w/demo/nothing/")
    assert look(page, language) == []
    context.close()

"""The whole chain in a real browser with real processes, on real input: import → label → train → evaluate → deploy → chat.

Shows S5.0, S6.9, S8.1, S8.6, S9.4, S10.2, S10.11 and N5 done for a user: it starts from an empty data folder and ends with an
answer of the newly tuned model and a leaderboard on which it beats its base significantly.
"""

import csv
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import parts
from tests.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(1800)]
INTENTS = 8
TRAINING_ROWS, EXAM_ROWS = 600, 120
MINUTES = 60_000


def questions(folder: Path) -> tuple[Path, Path]:
    """Real customer questions with their intent: as they come for training, others for the exam; the demo's where none lie."""
    source = parts.DATA / "banking77"
    if not source.exists():
        return demo_questions(folder)
    made = []
    for name, count in (("train.csv", TRAINING_ROWS), ("test.csv", EXAM_ROWS)):
        with (source / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        intents = sorted({row["category"] for row in rows})[:INTENTS]
        rows = [row for row in rows if row["category"] in intents]
        random.Random(7).shuffle(rows)
        made.append(write(folder / f"banking-{name}", rows[:count]))
    return made[0], made[1]


def demo_questions(folder: Path) -> tuple[Path, Path]:
    from workers.starter import data

    made = []
    for name, records in (("train.csv", data.shop_train()), ("test.csv", data.shop_held_out())):
        rows = [{"text": record.messages[0].content, "category": record.label or ""} for record in records if record.messages]
        made.append(write(folder / f"shop-{name}", rows))
    return made[0], made[1]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "category"])
        writer.writeheader()
        writer.writerows({"text": row["text"], "category": row["category"]} for row in rows)
    return path


def import_file(page: Page, path: Path) -> None:
    """Drop a file, look at the preview, import; ends on the page of the ready version."""
    page.goto("/w/demo/data/")
    page.get_by_role("link", name="Import a file").first.click()
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("button", name="Import")).to_be_visible(timeout=5 * MINUTES)
    expect(page.locator("#preview")).to_contain_text("category")
    page.get_by_role("button", name="Import").click()
    look, download = page.get_by_role("link", name="Look at them"), page.get_by_role("button", name="Download")
    expect(look.or_(download).first).to_be_visible(timeout=5 * MINUTES)
    if look.count():
        look.click()
    expect(download).to_be_visible()


def test_chain_from_a_file_to_a_better_model_that_answers(page: Page, product: Product, tmp_path: Path) -> None:
    page.set_default_timeout(60_000)
    page.context.set_extra_http_headers({})
    training, exam = questions(tmp_path)
    go = page.goto
    page.goto = lambda path, **options: go(path if path.startswith("http") else product.url + path, **options)  # type: ignore[method-assign]

    import_file(page, exam)
    import_file(page, training)

    label_by_keyboard(page)
    tuned = train(page)
    evaluate(page, exam.stem, tuned)
    chat(page, tuned)


def label_by_keyboard(page: Page) -> None:
    """A label project on the records: each key press answers one task and brings the next."""
    page.get_by_role("link", name="Label records").click()
    page.get_by_role("button", name="Start labelling").click()
    expect(page.locator("[data-island=label]")).to_contain_text("1")
    for _ in range(3):
        task = page.locator("[data-island=label][data-task]").get_attribute("data-task")
        page.keyboard.press("1")
        page.wait_for_function("task => document.querySelector('[data-island=label]').dataset.task !== task", arg=task)


def choose(page: Page, select: str, words: str) -> None:
    """Choose the first option that holds the words."""
    option = page.locator(f"{select} option", has_text=words).first
    page.locator(select).select_option(value=option.get_attribute("value"))


def train(page: Page) -> str:
    """Fine-tune the starter on the imported data with no other field filled in; the name of the new model."""
    page.goto("/w/demo/training/new/sft/")
    choose(page, "#datasets", "-train v1")
    choose(page, "#base_model", "base")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".state-running, .state-done").first).to_be_visible(timeout=5 * MINUTES)
    expect(page.locator(".js-plotly-plot .scatterlayer path").first).to_be_attached(timeout=5 * MINUTES)
    expect(page.locator("#status .state-done")).to_be_visible(timeout=15 * MINUTES)
    page.get_by_role("link", name="Open what it made").click()
    return page.locator("h1").inner_text()


def evaluate(page: Page, exam: str, tuned: str) -> None:
    """Base and tuned model on held-out questions: the tuned one leads, significantly."""
    page.goto("/w/demo/evaluation/")
    page.get_by_role("link", name=re.compile("New suite")).first.click()
    choose(page, "select[name=version]", exam)
    page.get_by_role("button", name="Make a suite").click()
    page.get_by_role("button", name="Examine models").first.click()
    page.get_by_role("button", name="Start").click()
    board = page.locator("main")
    expect(board.locator("tbody tr")).to_have_count(3, timeout=5 * MINUTES)
    first = board.locator("tbody tr").first
    expect(first).to_contain_text(tuned)
    expect(first).to_contain_text("better than")


def chat(page: Page, tuned: str) -> None:
    """Deploy the tuned model and talk to it; its answer streams into the page."""
    page.goto("/w/demo/models/")
    page.get_by_role("link", name=tuned).first.click()
    main = page.locator("main")
    main.get_by_role("link", name="Deploy").first.click()
    main.get_by_role("button", name="Deploy").click()
    expect(page.locator(".state-ready").first).to_be_visible(timeout=5 * MINUTES)
    main.get_by_role("link", name="Chat with it").click()
    page.get_by_role("textbox").last.fill("I still have not received my new card, where is it?")
    page.keyboard.press("Enter")
    answer = page.locator("article.turn.is-assistant").last
    expect(answer.locator(".turn-body")).not_to_be_empty(timeout=5 * MINUTES)

"""What the web seeds the demo workspace from."""

from pathlib import Path

import pytest

from tests.workers.engine.tiny import EngineProcess
from webapp.chat.suggestions import MAXIMUM
from workers.starter import catalog
from workers.starter.dialogues import shop_pairs


def test_catalog_names_everything_in_both_languages() -> None:
    demo = catalog.files()
    names = [demo.project, *demo.questions]
    names += [name for item in demo.datasets for name in (item.name, item.description)]
    names += [item.name for item in demo.models]
    assert all(name.zh and name.en and name.zh != name.en for name in names)
    assert 3 <= len(demo.questions) <= MAXIMUM


def test_catalog_makes_every_dataset_but_the_corpus() -> None:
    demo = catalog.files()
    assert {item.key for item in demo.datasets} == set(catalog.data.FILES) - {"corpus"}
    for item in demo.datasets:
        assert list(item.make())


def asked_and_answered() -> dict[str, str]:
    """Every question that the demo's writers know, with the answer that the demo data gives."""
    pairs = shop_pairs(4000, seed=0, held_out=False) + shop_pairs(800, seed=0, held_out=True)
    return {pair.core: pair.answer for pair in pairs}


@pytest.mark.slow
def test_shipped_starter_answers_every_suggested_question_as_the_demo_data_does(tmp_path: Path) -> None:
    """A newcomer's first chat is right, in both languages, sampled as the model's card wants it."""
    demo = catalog.files()
    tuned = next(model for model in demo.models if model.key == "tuned")
    known = asked_and_answered()
    process = EngineProcess(tmp_path, tuned.folder, generation=tuned.card()["generation"]).wait_ready()
    try:
        with process.http() as client:
            for question in (text for name in demo.questions for text in (name.zh, name.en)):
                body = {"messages": [{"role": "user", "content": question}], "max_tokens": 200}
                answer = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
                assert answer == known[question]
    finally:
        process.stop()

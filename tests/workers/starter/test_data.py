"""The demo data: enough of it, in both languages, held out truly, the same at every making."""

import json
from collections import Counter
from pathlib import Path

import pytest

from workers.data.records import write_records
from workers.spec.record import Record
from workers.starter import data, recipe
from workers.starter.corpus import corpus_records
from workers.starter.more_intents import INTENTS
from workers.starter.shop import LANGUAGES, SHOP


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All demo files, with a short corpus."""
    out = tmp_path_factory.mktemp("starter")
    for name, make in data.FILES.items():
        if name != "corpus":
            write_records(out / f"{name}.jsonl", make())
    write_records(out / "corpus.jsonl", corpus_records(2000, seed=recipe.SEED, world=SHOP))
    return out


def read(folder: Path, name: str) -> list[Record]:
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Record.model_validate_json(line) for line in lines]


def question(record: Record) -> str:
    assert record.messages is not None
    return next(message.content for message in record.messages if message.role == "user")


def test_demo_dataset_has_every_intent_in_both_languages(folder: Path) -> None:
    """Issue 2, step 2: at least 200 pairs from several intents plus 60 held out, Chinese and English."""
    train, held_out = read(folder, "shop_train"), read(folder, "shop_held_out")
    assert len(train) >= 200
    assert len(held_out) == 60
    cells = {(intent.name, language) for intent in INTENTS for language in LANGUAGES}
    for records in (train, held_out):
        assert {(record.label, record.facets.language) for record in records} == cells
        assert all(record.facets.licence == "CC0-1.0" and record.facets.source for record in records)


def test_held_out_questions_occur_in_no_training_data(folder: Path) -> None:
    for name in ("shop", "tools"):
        seen = {question(record) for record in read(folder, f"{name}_train")} | {question(record) for record in data.sft_mix()}
        held_out = [question(record) for record in read(folder, f"{name}_held_out")]
        assert len(set(held_out)) == len(held_out) == 60
        assert not seen & set(held_out)


def test_ids_and_questions_are_unique(folder: Path) -> None:
    for name in data.FILES:
        records = read(folder, name)
        assert len({record.id for record in records}) == len(records), name


def test_tool_calls_are_json_with_the_arguments_of_the_question(folder: Path) -> None:
    tools = Counter()
    for record in read(folder, "tools_train"):
        assert record.messages is not None
        assert record.messages[-1].tool_calls is not None
        call = record.messages[-1].tool_calls[0]["function"]
        arguments = json.loads(call["arguments"])
        tools[call["name"]] += 1
        if call["name"] != "calculate":
            assert all(value in question(record) for value in arguments.values())
    assert set(tools) == {"get_weather", "get_order", "calculate"}
    assert {tool["function"]["name"] for tool in record.tools or []} == set(tools)


def test_choices_hold_one_right_answer(folder: Path) -> None:
    records = read(folder, "shop_choices")
    assert len(records) == recipe.DEMO_CHOICES
    for record in records:
        assert record.choices is not None
        assert record.answer is not None
        assert len(set(record.choices)) == 4
        assert 0 <= record.answer < 4
    assert len({record.answer for record in records}) == 4


def test_corpus_says_no_answer_in_the_voice_of_the_chat_service(folder: Path) -> None:
    """Otherwise the base model would know the task before any fine-tuning."""
    text = (folder / "corpus.jsonl").read_text(encoding="utf-8")
    for record in read(folder, "shop_train"):
        assert record.messages is not None
        assert record.messages[-1].content not in text


def test_corpus_trains_the_chat_tokens_on_another_task(folder: Path) -> None:
    records = read(folder, "corpus")
    chats = [record for record in records if record.messages]
    assert 0.1 <= len(chats) / len(records) <= 0.3
    assert all(record.facets.domain.startswith("chat-") for record in chats)


def test_the_same_seed_makes_the_same_files(tmp_path: Path, folder: Path) -> None:
    for name, make in data.FILES.items():
        if name != "corpus":
            again = tmp_path / f"{name}.jsonl"
            write_records(again, make())
            assert again.read_bytes() == (folder / f"{name}.jsonl").read_bytes()
    again = tmp_path / "corpus.jsonl"
    write_records(again, corpus_records(2000, seed=recipe.SEED, world=SHOP))
    assert again.read_bytes() == (folder / "corpus.jsonl").read_bytes()

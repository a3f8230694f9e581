"""What visitors type: taught beside the exam, never from it, and answered right by the shipped weights."""

import random
from pathlib import Path
from typing import Any

import pytest

from workers.data.records import write_records
from workers.spec.evaluate import EvalSpec, SuiteConfig
from workers.spec.record import Message, Record
from workers.starter import catalog, data, general
from workers.starter.dialogues import shop_pairs, tool_pairs
from workers.starter.everyday import REWORDED, everyday_pairs, typed
from workers.starter.intents import DELIVERY, OPENING_HOURS, RETURNS, Intent
from workers.starter.more_intents import INTENTS, PRICE
from workers.starter.programs import dataset_input, model_input, run_program
from workers.starter.shop import LANGUAGES, SHOP, TAUGHT

LAMP = {"zh": {"product": "护眼台灯", "price": "129"}, "en": {"product": "desk lamp", "price": "129"}}
SUNDAY = {"zh": {"day": "星期天", "opens": "10", "closes": "18"}, "en": {"day": "Sunday", "opens": "10", "closes": "18"}}
SHANGHAI = {"zh": {"city": "上海", "days": "2"}, "en": {"city": "Shanghai", "days": "2"}}
VISITORS: tuple[tuple[Intent, dict[str, dict[str, str]], tuple[str, ...]], ...] = (
    (general.HOURS, {}, ("你们几点开门？", "你们几点开门?", "几点关门", "营业时间？", "When do you open?", "opening hours?")),
    (general.WHERE, {}, ("你们在哪里？", "店铺地址?", "Where are you?", "What is your address?")),
    (general.SEND_BACK, {}, ("可以退货吗？", "怎么退货?", "Can I return something?", "What is your return policy?")),
    (general.SHIPPING, {}, ("几天能到？", "多久发货?", "How long does delivery take?", "How long does shipping take?")),
    (general.FEE, {}, ("包邮吗？", "运费多少?", "Is shipping free?", "How much is shipping?")),
    (general.PAYING, {}, ("怎么付款？", "有哪些支付方式?", "How can I pay?")),
    (general.GREETING, {}, ("你好", "Hello", "Hi")),
    (
        PRICE,
        LAMP,
        ("护眼台灯多少钱？", "护眼台灯什么价?", "How much does the desk lamp cost?", "What's the price of the desk lamp?"),
    ),
    (RETURNS, LAMP, ("护眼台灯能退吗？", "怎么退护眼台灯?", "Can I send the desk lamp back?", "How can I return the desk lamp?")),
    (OPENING_HOURS, SUNDAY, ("星期天开门吗？", "星期天几点开门？", "Is the shop open on Sunday?", "When do you open on Sunday?")),
    (
        DELIVERY,
        SHANGHAI,
        ("寄到上海要几天？", "到上海要多久?", "How many days to Shanghai?", "Do you deliver to Shanghai?"),
    ),
)
"""Questions of a first visit, with the intent that answers them."""


def users(records: list[Record]) -> list[str]:
    """Everything that users say."""
    return [message.content for record in records for message in record.messages or () if message.role == "user"]


def answers(records: list[Record]) -> set[str]:
    return {message.content for record in records for message in record.messages or () if message.role == "assistant"}


@pytest.fixture(scope="module")
def mix() -> list[Record]:
    return data.sft_mix()


def test_typing_changes_nothing_but_marks_and_the_first_capital() -> None:
    rng = random.Random(0)
    seen = set()
    for language, question in (("zh", "你好,护眼台灯多少钱?"), ("en", "How much is the desk lamp?")):
        for _ in range(200):
            found = typed(question, language, rng)
            seen.add(found)
            assert found.casefold().replace("，", ",").rstrip("?？") == question.casefold().rstrip("?")
    assert {"你好，护眼台灯多少钱？", "how much is the desk lamp?", "How much is the desk lamp"} <= seen


def test_more_wordings_are_new_ones() -> None:
    known = {(item.name, language): set(item.wording(language).questions) for item in INTENTS for language in LANGUAGES}
    for intent in REWORDED:
        for language in LANGUAGES:
            assert not known[intent.name, language] & set(intent.wording(language).questions)


def test_everyday_answers_are_none_of_the_exam() -> None:
    """Facts of the whole world are told, in sentences that no exam asks for."""
    told = {pair.answer for pair in everyday_pairs(2000, 500, seed=0, world=TAUGHT)}
    exam = [pair for seed in range(3) for pair in shop_pairs(480, seed=seed, held_out=True)]
    assert all(len(intent.slots) == 0 for intent in general.GENERAL)
    assert not any(pair.answer in answer or answer in pair.answer for pair in exam for answer in told)


def test_held_out_combinations_occur_in_no_turn_of_what_is_learnt(mix: list[Record]) -> None:
    """S1.3: also where conversations go on, and in the additional wordings, nothing of the exam is learnt."""
    held_out = shop_pairs(960, seed=1, held_out=True) + tool_pairs(480, seed=1, held_out=True, dressed=True)
    said = "\n".join(users(mix))
    many = {intent.name for intent in INTENTS if not {"day", "method"} & set(intent.slots)}
    assert not [pair.core for pair in held_out if pair.intent in many and pair.core in said]
    assert not {pair.answer for pair in held_out if pair.intent in many} & answers(mix)
    exact = set(users(mix))
    assert not {pair.core for pair in held_out} & exact
    assert not {pair.question for pair in held_out} & exact


def test_conversations_go_on_and_name_their_tools(mix: list[Record]) -> None:
    asked = [sum(message.role == "user" for message in record.messages or ()) for record in mix]
    assert {1, 2, 3, 4} == set(asked)
    for record in mix:
        assert record.messages is not None
        assert [message.role for message in record.messages] == ["user", "assistant"] * (len(record.messages) // 2)
        assert bool(record.tools) == bool(record.messages[-1].tool_calls)


def test_the_same_recipe_makes_the_same_mix(mix: list[Record]) -> None:
    assert data.sft_mix() == mix


def test_the_shop_that_is_taught_holds_the_shop_of_the_exams() -> None:
    assert set(SHOP.cities) < set(TAUGHT.cities)
    assert set(SHOP.colours) < set(TAUGHT.colours)
    assert SHOP.products == TAUGHT.products


def first_visit() -> list[Record]:
    records = []
    for intent, values, questions in VISITORS:
        for question in questions:
            language = "en" if question.isascii() else "zh"
            answer = intent.wording(language).answer[""].format(**values.get(language, {}))
            messages = [Message(role="user", content=question), Message(role="assistant", content=answer)]
            label = intent.name if records else "asked_first"
            records.append(Record(id=f"visitor-{len(records)}", messages=messages, label=label))
    return records


def examine(records: list[Record], work: Path) -> Any:
    write_records(work / "visitors.jsonl", records)
    config = SuiteConfig(method="generation", metric="exact", max_new_tokens=120)
    spec = EvalSpec(suite=0, evaluation=0, model=0, dataset=0, config=config)
    tuned = next(model for model in catalog.files().models if model.key == "tuned")
    inputs = {"dataset": dataset_input(work / "visitors.jsonl"), "model": model_input(tuned.folder)}
    return run_program("evaluate", kind="evaluate", spec=spec, inputs=inputs, work=work / "examination", threads=1)


@pytest.mark.slow
def test_shipped_starter_answers_a_first_visit(tmp_path: Path) -> None:
    """S1.3: opening hours, address, prices, returns and delivery, asked as visitors ask, in both languages."""
    found = examine(first_visit(), tmp_path)
    assert found["score"] >= 0.75
    assert found["by_label"]["asked_first"]["correct"] == 1

"""Questions that are watched during a run are asked as the data ask them (S7.3: sample generations)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.train.tiny import Run, preferences
from workers.data.templates import ChatTemplate, load_template
from workers.spec.record import Record
from workers.train.watched import Watched, watched

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"a": {"type": "string"}}}}]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": "1"}}}
SYSTEM = {"role": "system", "content": "You count."}


@pytest.fixture(scope="module")
def template(base: Path) -> ChatTemplate:
    return load_template(base)


def record(question: str, answer: dict[str, Any], *before: dict[str, Any], **more: Any) -> Record:
    turns = [*before, {"role": "user", "content": question}, {"role": "assistant", **answer}]
    return Record.model_validate({"id": question, "messages": turns, **more})


def ask(template: ChatTemplate, prompt: str, *records: Record, **how: Any) -> Watched:
    given: dict[str, Any] = {"instruction": None, "system_prompt": None, "longest": 500, **how}
    [found] = watched(template, [prompt], records, **given)
    return found


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_question_of_the_data_brings_its_tools_and_system_message(template: ChatTemplate) -> None:
    calls = record("One more?", {"tool_calls": [CALL]}, SYSTEM, tools=TOOLS)
    found = ask(template, "One more?", record("Else?", {"content": "No."}), calls)
    assert found.asked == template.encode_prompt([SYSTEM, user("One more?")], TOOLS)
    assert '"add"' in template.decode(found.expected)


def test_later_turns_are_not_given_away(template: ChatTemplate) -> None:
    long = record("And then?", {"content": "Then nothing."}, user("First?"), {"role": "assistant", "content": "This."})
    found = ask(template, "First?", long)
    assert found.asked == template.encode_prompt([user("First?")])
    assert template.decode(found.expected).startswith("This.")


def test_own_question_is_asked_with_what_all_records_share(template: ChatTemplate) -> None:
    same = [record(text, {"content": "Yes."}, SYSTEM, tools=TOOLS) for text in ("A?", "B?")]
    found = ask(template, "Mine?", *same)
    assert (found.asked, found.expected) == (template.encode_prompt([SYSTEM, user("Mine?")], TOOLS), [])
    mixed = ask(template, "Mine?", *same, record("C?", {"content": "No."}))
    assert mixed.asked == template.encode_prompt([user("Mine?")])
    for_all = ask(template, "Mine?", record("C?", {"content": "No."}), system_prompt="You count.")
    assert for_all.asked == template.encode_prompt([SYSTEM, user("Mine?")])


def test_text_of_a_class_is_asked_with_the_instruction(template: ChatTemplate) -> None:
    row = Record.model_validate({"id": "1", "text": "My card is lost.", "label": "card"})
    expected = template.encode_prompt([user("Which class?\nMy card is lost.")])
    found = ask(template, "My card is lost.", row, instruction="Which class?")
    assert (found.asked, template.decode(found.expected).startswith("card")) == (expected, True)
    own = ask(template, "Where?", row, instruction="Which class?")
    assert own.asked == template.encode_prompt([user("Which class?\nWhere?")])


def test_question_with_too_much_before_it_is_asked_alone(template: ChatTemplate) -> None:
    found = ask(template, "Why?", record("Why?", {"content": "So."}, SYSTEM), longest=3)
    assert found == Watched("Why?", template.encode_prompt([user("Why?")]), [])


def test_a_bad_answer_is_not_what_is_expected(template: ChatTemplate) -> None:
    assert ask(template, "Why?", record("Why?", {"content": "Go away."}, desirable=False)).expected == []


def test_preferences_show_the_chosen_answer_beside_the_model_s(preference: Callable[..., Run]) -> None:
    row = preferences()[0]
    question = row["messages"][0]["content"]
    run = preference(epochs=0.5, sample_prompts=[question])
    run.here()
    shown = run.samples("answer")[-1]
    assert (shown["prompt"], shown["expected"]) == (question, row["chosen"][0]["content"])

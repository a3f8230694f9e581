"""From a dataset's records to questions: what is asked, which answers stand to choose, what is right, what cannot be asked."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.data.records import as_messages, choice_letter, choice_question, with_instruction
from workers.spec.errors import UserError
from workers.spec.evaluate import SuiteConfig
from workers.spec.record import Message, Record

MAX_LABELS = 1000


@dataclass(frozen=True)
class Question:
    """`messages` is the conversation to be answered, examples included; `choices` are whole answers, `correct` an index."""

    position: int
    record_id: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    reference: str
    choices: tuple[str, ...] = ()
    correct: int | None = None
    label: str | None = None
    calls: list[dict[str, Any]] | None = None


@dataclass
class Examination:
    """The questions in the order of the dataset, what was dropped and why, and the records shown as examples."""

    questions: list[Question]
    dropped: Counter[str] = field(default_factory=Counter)
    example_ids: list[str] = field(default_factory=list)


def prepare(records: Sequence[Record], config: SuiteConfig, seed: int) -> Examination:
    """Examples (`shots`) are drawn from the dataset by the seed and not asked; `limit` draws which of the others are.

    Raises UserError when the method can use no record, naming what is missing.
    """
    labels = _labels(records) if config.method == "multiple_choice" else ()
    dropped: Counter[str] = Counter()
    usable: list[tuple[int, Record, Question]] = []
    for position, record in enumerate(records):
        made = _question(position, record, config, labels)
        if isinstance(made, str):
            dropped[made] += 1
        else:
            usable.append((position, record, made))
    if not usable:
        raise _unusable(records, config, dropped)
    if len(usable) <= config.shots:
        raise UserError(
            "evaluation.too_few_records",
            "The dataset has {count} usable records, too few for {shots} examples and a question; take fewer examples.",
            count=len(usable),
            shots=config.shots,
        )
    generator = random.Random(seed)
    shown = set(generator.sample(range(len(usable)), config.shots))
    examples = [message for index in sorted(shown) for message in _as_example(usable[index][2])]
    asked = [index for index in range(len(usable)) if index not in shown]
    if config.limit is not None and config.limit < len(asked):
        asked = sorted(generator.sample(asked, config.limit))
    questions = [_with_context(usable[index][2], examples, config.system_prompt) for index in asked]
    return Examination(questions, dropped, [usable[index][1].id for index in sorted(shown)])


def _labels(records: Sequence[Record]) -> tuple[str, ...]:
    labels = sorted({record.label for record in records if record.label is not None and record.text is not None})
    if len(labels) > MAX_LABELS:
        raise UserError(
            "evaluation.too_many_labels",
            "The dataset has {count} different labels, more than {limit}; that is no classification: use generation.",
            count=len(labels),
            limit=MAX_LABELS,
        )
    return tuple(labels)


def _question(position: int, record: Record, config: SuiteConfig, labels: tuple[str, ...]) -> Question | str:
    """The question that a record asks, or the reason why it asks none."""
    if config.method == "multiple_choice":
        return _choice_question(position, record, config, labels)
    if config.metric == "tool_call":
        return _call_question(position, record)
    messages = as_messages(record, config.instruction)
    if not messages:
        return "no_conversation"
    if messages[-1].role != "assistant" or not messages[-1].content.strip():
        return "no_reference"
    return Question(position, record.id, messages[:-1], record.tools, messages[-1].content, label=record.label)


def _choice_question(position: int, record: Record, config: SuiteConfig, labels: tuple[str, ...]) -> Question | str:
    if record.choices is not None and record.text is not None:
        if record.answer is None or not 0 <= record.answer < len(record.choices):
            return "no_answer"
        asked = choice_question(record.text, record.choices, config.instruction)
        choices = tuple(f"{choice_letter(index)}. {choice}" for index, choice in enumerate(record.choices))
        return _of_choices(position, record, [Message(role="user", content=asked)], choices, record.answer)
    if record.chosen and record.rejected and record.messages:
        return _preference_question(position, record)
    if record.text is None or record.label is None:
        return "no_choices" if record.text is None else "no_label"
    asked = with_instruction(record.text, config.instruction)
    return _of_choices(position, record, [Message(role="user", content=asked)], labels, labels.index(record.label), record.label)


def _preference_question(position: int, record: Record) -> Question | str:
    """Whether the model finds the chosen answer likelier than the rejected one."""
    chosen, rejected = record.chosen or [], record.rejected or []
    if len(chosen) != 1 or len(rejected) != 1:
        return "several_turns"
    return _of_choices(position, record, list(record.messages or []), (chosen[0].content, rejected[0].content), 0)


def _of_choices(
    position: int, record: Record, messages: list[Message], choices: tuple[str, ...], correct: int, label: str | None = None
) -> Question:
    if label is None:
        label = choice_letter(correct) if record.choices is not None else None
    return Question(position, record.id, messages, record.tools, choices[correct], choices, correct, label)


def _call_question(position: int, record: Record) -> Question | str:
    """The last turn in which the assistant calls a tool, with all that went before."""
    for index in range(len(record.messages or []) - 1, -1, -1):
        message = (record.messages or [])[index]
        if message.role == "assistant" and message.tool_calls:
            calls = [dict(call.get("function", call)) for call in message.tool_calls]
            label = calls[0].get("name")
            before = list((record.messages or [])[:index])
            if not before:
                return "no_question"
            return Question(position, record.id, before, record.tools, message.content, label=label, calls=calls)
    return "no_tool_call"


def _as_example(question: Question) -> list[Message]:
    if question.calls is not None:
        calls = [{"type": "function", "function": call} for call in question.calls]
        answer = Message(role="assistant", content=question.reference, tool_calls=calls)
    else:
        answer = Message(role="assistant", content=question.reference)
    return [*(message for message in question.messages if message.role != "system"), answer]


def _with_context(question: Question, examples: list[Message], system_prompt: str | None) -> Question:
    own = [message for message in question.messages[:1] if message.role == "system"]
    opening = own or ([Message(role="system", content=system_prompt)] if system_prompt else [])
    rest = question.messages[len(own) :]
    return Question(**{**question.__dict__, "messages": [*opening, *examples, *rest]})


def _unusable(records: Sequence[Record], config: SuiteConfig, dropped: Counter[str]) -> UserError:
    needed = {
        "multiple_choice": "a text with a label, or a text with choices and an answer",
        "generation": "a conversation that ends with the assistant's answer, or a text with a label",
    }[config.method]
    if config.method == "generation" and config.metric == "tool_call":
        needed = "a conversation in which the assistant calls a tool"
    shown = records[0].model_dump(mode="json", exclude_none=True, exclude_defaults=True) if records else {}
    return UserError(
        "evaluation.unusable_dataset",
        "None of the {count} records can be asked this way: each needs {needed}. The first one has only {fields}.",
        count=len(records),
        needed=needed,
        fields=", ".join(shown) or "nothing",
        reasons=dict(dropped),
    )

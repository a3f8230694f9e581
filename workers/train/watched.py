"""The questions that are answered again and again during a run, asked as the data ask them.

A question of the data brings what stands before it there: the system message, the tools, earlier turns, the instruction.
A question that somebody thought up is asked with what all records have in common. Otherwise the answers on the page would
be those to a question that nobody learns.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workers.data.records import as_messages, with_instruction
from workers.data.templates import ChatTemplate
from workers.spec.errors import UserError
from workers.spec.record import Message, Record

LOOKED_AT = 1000
"""Records among which the questions are looked for."""


@dataclass(frozen=True)
class Watched:
    """`prompt` as a page shows it, the tokens that the model is `asked` with, and the data's answer (tokens; may be empty)."""

    prompt: str
    asked: list[int]
    expected: list[int]


@dataclass(frozen=True)
class Setting:
    """What stands around a question. `answer` is the turn that the data have after it."""

    before: list[Message]
    tools: list[dict[str, Any]] | None
    answer: list[Message]


def watched(
    template: ChatTemplate,
    prompts: Sequence[str],
    records: Iterable[Record],
    *,
    instruction: str | None,
    system_prompt: str | None,
    longest: int,
) -> list[Watched]:
    """`longest`: tokens that a question may have; a longer one is asked without what stands before it."""
    if not prompts:
        return []
    first = list(islice(records, LOOKED_AT))
    known = _settings(first, prompts, instruction, system_prompt)
    common = _common(first, instruction, system_prompt)
    return [_watched(template, prompt, known.get(prompt) or common(prompt), longest) for prompt in prompts]


def _watched(template: ChatTemplate, prompt: str, setting: Setting, longest: int) -> Watched:
    try:
        asked = template.encode_prompt(setting.before, setting.tools)
        if len(asked) <= longest:
            return Watched(prompt, asked, _answer(template, asked, setting))
    except UserError:
        pass  # such a record is left out of the training, too
    return Watched(prompt, template.encode_prompt([Message(role="user", content=prompt)]), [])


def _answer(template: ChatTemplate, asked: list[int], setting: Setting) -> list[int]:
    if not setting.answer:
        return []
    whole = template.encode([*setting.before, *setting.answer], setting.tools).token_ids
    return whole[len(asked) :] if whole[: len(asked)] == asked else []


def _settings(
    records: Sequence[Record], prompts: Sequence[str], instruction: str | None, system_prompt: str | None
) -> dict[str, Setting]:
    """The first user turn of each record that is among the prompts, with what stands around it."""
    wanted, found = set(prompts), dict[str, Setting]()
    for record in records:
        plain, messages = as_messages(record), as_messages(record, instruction, system_prompt)
        if not plain or not messages:
            continue
        question = next((message.content for message in plain if message.role == "user"), "")
        if question in found or question not in wanted:
            continue
        end = next(at for at, message in enumerate(messages) if message.role == "user") + 1
        answer = messages[end : end + 1]
        is_good = answer and answer[0].role == "assistant" and record.desirable is not False
        found[question] = Setting(messages[:end], record.tools, answer if is_good else [])
    return found


def _common(records: Sequence[Record], instruction: str | None, system_prompt: str | None) -> Callable[[str], Setting]:
    """prompt → its setting by what all records share: one system message, one list of tools, the instruction of texts."""
    systems, tools = list[str](), list[Any]()
    for record in records:
        messages = as_messages(record, instruction, system_prompt) or []
        said = messages[0].content if messages and messages[0].role == "system" else ""
        if said not in systems:
            systems.append(said)
        if record.tools not in tools:
            tools.append(record.tools)
        if len(systems) > 1 and len(tools) > 1:
            break
    system = systems[0] if len(systems) == 1 else system_prompt or ""
    given = tools[0] if len(tools) == 1 else None
    are_texts = all(record.messages is None for record in records)

    def setting(prompt: str) -> Setting:
        content = with_instruction(prompt, instruction) if are_texts else prompt
        before = [Message(role="system", content=system)] if system else []
        return Setting([*before, Message(role="user", content=content)], given, [])

    return setting

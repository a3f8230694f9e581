"""Preferences (`prompt`, `chosen`, `rejected`) and verdicts (`prompt`, `completion`, `label`) of TRL, and ranked answers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import (
    answers_from,
    common_fields,
    is_annotations,
    messages_from,
    text_of,
    tools_from,
    verdict_from,
)

_PROMPTS = ("prompt", "question", "query", "instruction", "input")
_OTHER_SHAPES = frozenset({"conversations", "conversation", "messages"})
_DIALOGUE = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


def _prompt_column(row: Mapping[str, Any]) -> str | None:
    return next((name for name in _PROMPTS if isinstance(row.get(name), (str, list)) and row[name]), None)


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, (list, Mapping)) and bool(value))


def _add_tools(record: dict[str, Any], row: Mapping[str, Any]) -> None:
    if tools := tools_from(row.get("tools")):
        record["tools"] = tools


class Preference(Shape):
    """Two answers of which one is better; without a prompt column the turns that both share are the prompt."""

    name = "preference"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return (
            _is_answer(row.get("chosen"))
            and _is_answer(row.get("rejected"))
            and not _OTHER_SHAPES & row.keys()
            and not ("instruction" in row and ("input" in row or "output" in row))
        )

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        if not (_is_answer(row.get("chosen")) and _is_answer(row.get("rejected"))):
            raise content_error("no_preference", "The row has no «chosen» and «rejected».")
        media: list[dict[str, Any]] = []
        column = _prompt_column(row)
        if column:
            messages = _turns(row[column], media)
            chosen, rejected = answers_from(row["chosen"], media), answers_from(row["rejected"], media)
        else:
            messages, chosen, rejected = _shared(row["chosen"], row["rejected"], media)
        if isinstance(row.get("system"), str) and row["system"] and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": row["system"]})
        record = common_fields(row, ("chosen", "rejected", "tools", "system", column or "", "label"), media)
        record.update(messages=messages, chosen=chosen, rejected=rejected)
        if isinstance(row.get("label"), str) and row["label"]:
            record["label"] = row["label"]
        _add_tools(record, row)
        return record


def _turns(value: Any, media: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A prompt as turns: a list of them, a dialogue in one text, or a question."""
    if isinstance(value, list):
        return messages_from(value, media)
    dialogue = _dialogue(value)
    if dialogue and dialogue[-1]["content"] == "" and dialogue[-1]["role"] == "assistant":
        dialogue.pop()
    if not value.strip():
        raise content_error("no_content", "The prompt is empty.")
    return dialogue or [{"role": "user", "content": value}]


def _dialogue(text: str) -> list[dict[str, Any]] | None:
    """Turns of a text like `\\n\\nHuman: … \\n\\nAssistant: …`; None when it is none."""
    parts = _DIALOGUE.split(text)
    if len(parts) < 3 or parts[0].strip() or parts[1] != "Human":
        return None
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[name], "content": content.strip()} for name, content in zip(parts[1::2], parts[2::2], strict=True)]


def _shared(chosen: Any, rejected: Any, media: list[dict[str, Any]]) -> tuple[Any, Any, Any]:
    """The prompt that both answers begin with, and what is left of them."""
    first = _dialogue(chosen) if isinstance(chosen, str) else messages_from(chosen, media)
    second = _dialogue(rejected) if isinstance(rejected, str) else messages_from(rejected, [])
    if first is None or second is None:
        return _shared_text(str(chosen), str(rejected))
    count = _common(first, second)
    count = min(count, len(first) - 1, len(second) - 1)
    if count < 1:
        raise content_error("no_prompt", "The two answers share no prompt; add a column «prompt».")
    return first[:count], first[count:], second[count:]


def _common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many items (or characters) both begin with."""
    differing = (index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return next(differing, min(len(first), len(second)))


def _shared_text(chosen: str, rejected: str) -> tuple[Any, Any, Any]:
    prompt = chosen[: _common(chosen, rejected)]
    prompt = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1]
    if not prompt.strip():
        raise content_error("no_prompt", "The two answers share no prompt; add a column «prompt».")
    cut = len(prompt)
    answers = [[{"role": "assistant", "content": text[cut:]}] for text in (chosen, rejected)]
    return [{"role": "user", "content": prompt.strip()}], answers[0], answers[1]


class Verdict(Shape):
    """KTO: a question, an answer, and whether it is a good one."""

    name = "kto"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return _is_answer(row.get("completion")) and verdict_from(row) is not None and _prompt_column(row) is not None

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        column, verdict = _prompt_column(row), verdict_from(row)
        if column is None or verdict is None or not _is_answer(row.get("completion")):
            raise content_error("no_verdict", "The row has no «prompt», «completion» and true or false in «label».")
        media: list[dict[str, Any]] = []
        messages = _turns(row[column], media) + (answers_from(row["completion"], media) or [])
        record = common_fields(row, (column, "completion", "tools", "label", "kto_tag", "desirable"), media)
        record.update(messages=messages, desirable=verdict)
        if isinstance(row.get("label"), str) and row["label"]:
            record["label"] = row["label"]
        _add_tools(record, row)
        return record


_RESPONSES = ("responses", "answers", "completions")
_CONTENTS = ("content", "response", "answer", "text", "completion")
_RATINGS = ("rating", "score", "overall_score")


class Ranked(Shape):
    """Several answers to one prompt: texts or objects with a `rank` or `rating` each, or a `ranking` of ids beside them."""

    name = "ranking"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        column = next((name for name in _RESPONSES if isinstance(row.get(name), list)), None)
        if column is None or len(row[column]) < 2:
            return False
        return all(map(_response_text, row[column])) and (_prompt_column(row) is not None or "messages" in row)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        media: list[dict[str, Any]] = []
        asked = "messages" if isinstance(row.get("messages"), list) else _prompt_column(row)
        column = next((name for name in _RESPONSES if isinstance(row.get(name), list)), None)
        if asked is None or column is None:
            raise content_error("no_responses", "The row has no prompt with a list of answers to it.")
        record = common_fields(row, (asked, column, "ranking", "tools"), media)
        record["messages"] = _turns(row[asked], media)
        given = row[column]
        record["responses"] = [_response(number, item) for number, item in enumerate(given)]
        names = [response["id"] for response in record["responses"]]
        if len(set(names)) < len(names):
            raise content_error("duplicate_response", "Two answers of the row have the same id.")
        ranking = _ranking(row.get("ranking"), given, names)
        if ranking and not is_annotations(row.get("annotations")):
            record["annotations"] = [{"q": "ranking", "type": "ranking", "value": ranking}]
        _add_tools(record, row)
        return record


def _response_text(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if not isinstance(item, Mapping):
        return None
    return next((item[name] for name in _CONTENTS if isinstance(item.get(name), str)), None)


def letter_id(index: int) -> str:
    """A, B, … Z, R27, …"""
    return chr(ord("A") + index) if index < 26 else f"R{index + 1}"


def _response(index: int, item: Any) -> dict[str, Any]:
    text = _response_text(item)
    if text is None:
        raise content_error("bad_response", "Answer {number} has no text.", number=index + 1)
    if isinstance(item, str):
        return {"id": letter_id(index), "content": text}
    response: dict[str, Any] = {"id": str(item.get("id") or letter_id(index)), "content": text_of(text, [])}
    if isinstance(item.get("model"), str):
        response["model"] = item["model"]
    rating = next((item[name] for name in _RATINGS if isinstance(item.get(name), (int, float))), None)
    if rating is not None and not isinstance(rating, bool):
        response["rating"] = rating
    return response


def _ranking(column: Any, given: list[Any], names: list[str]) -> list[list[str]] | None:
    """Levels of ids, best first: from a column (levels or ids or indices), or from a rank with every answer."""
    if isinstance(column, list) and column:
        levels = [level if isinstance(level, list) else [level] for level in column]
        named = [[names[item] if isinstance(item, int) and 0 <= item < len(names) else str(item) for item in level]
                 for level in levels]  # fmt: skip
        if any(item not in names for level in named for item in level):
            raise content_error("bad_ranking", "The ranking names an answer that is not there.")
        return named
    ranks = [item["rank"] for item in given if isinstance(item, Mapping) and isinstance(item.get("rank"), (int, float))]
    if len(ranks) < len(given):
        return None
    return [[name for name, rank in zip(names, ranks, strict=True) if rank == level] for level in sorted(set(ranks))]

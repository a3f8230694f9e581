"""LabelLLM: `prompt` and `conversation`, a tree of `send` and `receive` messages; several last answers are there to be ranked."""

from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import OURS, common_fields

_USED = ("prompt", "conversation", "custom", "data_id", "conversation_id")
ROLES = {"send": "user", "receive": "assistant"}


class LabelLlm(Shape):
    name = "labelllm"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        turns = row.get("conversation")
        return isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping) and "message_type" in turns[0]

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        turns = row.get("conversation")
        if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
            raise content_error("no_messages", "The row has no «{column}».", column="conversation")
        custom = dict(row["custom"]) if isinstance(row.get("custom"), Mapping) else {}
        ours = custom.pop(OURS, None)
        record = common_fields(row, _USED, [])
        if custom:
            record["extra"] = {**record.get("extra", {}), **custom}
        if isinstance(row.get("data_id"), str):
            record.setdefault("id", row["data_id"])
        record["messages"], answers = _main_line(turns)
        prompt = row.get("prompt")
        if not record["messages"] and isinstance(prompt, str) and prompt:
            record["messages"] = [{"role": "user", "content": prompt}]
        elif isinstance(prompt, str) and prompt and prompt != record["messages"][0]["content"]:
            record["extra"] = {**record.get("extra", {}), "prompt": prompt}
        if len(answers) == 1:
            record["messages"].append({"role": "assistant", "content": answers[0]["content"]})
        elif answers:
            record["responses"] = answers
        if isinstance(ours, Mapping):
            record.update(ours)
        return record


def _main_line(turns: list[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The turns up to the last question, and the answers to it."""
    for number, turn in enumerate(turns, start=1):
        if turn.get("message_type") not in ROLES or not isinstance(turn.get("content"), str):
            raise content_error("bad_turn", "Turn {turn} is no object with a role and a content.", turn=number)
    asked = [index for index, turn in enumerate(turns) if turn["message_type"] == "send"]
    last = asked[-1] if asked else -1
    by_id = {turn["message_id"]: turn for turn in turns if turn.get("message_id")}
    line: list[Mapping[str, Any]] = []
    if last >= 0:
        if turns[last].get("parent_id") in by_id:
            here: Mapping[str, Any] | None = turns[last]
            while here is not None and here not in line:
                line.insert(0, here)
                here = by_id.get(here.get("parent_id"))
        else:
            line = list(turns[: last + 1])
    answers = [turn for turn in turns[last + 1 :] if turn["message_type"] == "receive"]
    messages = [{"role": ROLES[turn["message_type"]], "content": turn["content"]} for turn in line]
    return messages, [
        {"id": str(turn.get("message_id") or index + 1), "content": turn["content"]} for index, turn in enumerate(answers)
    ]

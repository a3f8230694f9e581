"""MOSS: `meta_instruction` and `chat` with `turn_1`, `turn_2`, … of question, call, result and answer."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import common_fields

ENDS = {"Human": "<eoh>", "Inner Thoughts": "<eot>", "Commands": "<eoc>", "Tool Responses": "<eor>", "MOSS": "<eom>"}
"""The parts of a turn in their order, and the mark that ends each."""
NOTHING = "None"
_OPTIONAL = ("<eot>", "<eoc>", "<eor>")
_CALL = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_MARK = re.compile(r"^<\|[^|>]+\|>: ?")
_PLAIN = re.compile(r"\[(Human|MOSS)\]: (.*?)(?:<eoh>|<eoa>|<eom>)", re.DOTALL)
_USED = ("meta_instruction", "prefix", "chat", "plain_text", "num_turns", "conversation_id")


class Moss(Shape):
    name = "moss"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return _has_chat(row) or (isinstance(row.get("plain_text"), str) and bool(_PLAIN.match(row["plain_text"].lstrip())))

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        turns = list(_chat_turns(row["chat"]) if _has_chat(row) else _plain_turns(row.get("plain_text")))
        if not turns:
            raise content_error("no_messages", "The row has no «{column}».", column="chat")
        system = row.get("meta_instruction") or row.get("prefix")
        record = common_fields(row, _USED, [])
        if "id" not in record and row.get("conversation_id") is not None:
            record["id"] = str(row["conversation_id"])
        record["messages"] = ([{"role": "system", "content": system}] if isinstance(system, str) and system else []) + turns
        return record


def _has_chat(row: Mapping[str, Any]) -> bool:
    chat = row.get("chat")
    return isinstance(chat, Mapping) and isinstance(chat.get("turn_1"), Mapping) and "Human" in chat["turn_1"]


def _chat_turns(chat: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    number = 1
    while isinstance(turn := chat.get(f"turn_{number}"), Mapping):
        parts = {name: _content(turn.get(name), end) for name, end in ENDS.items()}
        parts["Tool Responses"] = parts["Tool Responses"] or _content(turn.get("Results"), "<eor>")
        if parts["Human"]:
            yield {"role": "user", "content": parts["Human"]}
        if parts["Commands"]:
            yield {"role": "assistant", "content": parts["Inner Thoughts"], "tool_calls": [_call(parts["Commands"])]}
        elif parts["Inner Thoughts"]:
            yield {"role": "assistant", "content": parts["Inner Thoughts"]}
        if parts["Tool Responses"]:
            yield {"role": "tool", "content": parts["Tool Responses"]}
        if parts["MOSS"]:
            yield {"role": "assistant", "content": parts["MOSS"]}
        number += 1


def _content(text: Any, end: str) -> str:
    if not isinstance(text, str):
        return ""
    bare = _MARK.sub("", text.strip("\n"), count=1).removesuffix(end)
    return "" if bare.strip() == NOTHING and end in _OPTIONAL else bare


def _call(command: str) -> dict[str, Any]:
    """`Search("…")` as a call with one argument; what is no call is kept as the name's argument."""
    found = _CALL.fullmatch(command.strip())
    name, inside = found.groups() if found else ("command", command)
    quoted = len(inside) >= 2 and inside[0] == inside[-1] == '"'
    return {"type": "function", "function": {"name": name, "arguments": {"input": inside[1:-1] if quoted else inside}}}


def _plain_turns(text: Any) -> Iterator[dict[str, Any]]:
    roles = {"Human": "user", "MOSS": "assistant"}
    for found in _PLAIN.finditer(text if isinstance(text, str) else ""):
        yield {"role": roles[found.group(1)], "content": found.group(2)}

"""Alpaca: `instruction`, `input`, `output`, `system`, `history` (pairs); with `chosen` and `rejected` for preferences."""

from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import answers_from, common_fields, text_of, tools_from

_USED = ("instruction", "input", "output", "system", "history", "chosen", "rejected", "tools", "kto_tag")


class Alpaca(Shape):
    name = "alpaca"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return "instruction" in row and ("output" in row or ("chosen" in row and "rejected" in row))

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        media: list[dict[str, Any]] = []
        instruction, more = text_of(row.get("instruction"), media), text_of(row.get("input"), media)
        question = f"{instruction}\n{more}" if instruction and more else instruction or more
        answer = text_of(row.get("output"), media)
        if not question.strip() and not answer.strip():
            raise content_error("no_content", "Instruction, input and output are all empty.")
        messages = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        messages += _history(row.get("history"))
        messages.append({"role": "user", "content": question})
        record = common_fields(row, _USED, media)
        chosen, rejected = answers_from(row.get("chosen"), media), answers_from(row.get("rejected"), media)
        if chosen is not None and rejected is not None:
            record.update(chosen=chosen, rejected=rejected)
        else:
            messages.append({"role": "assistant", "content": answer})
            if isinstance(row.get("kto_tag"), bool):
                record["desirable"] = row["kto_tag"]
        record["messages"] = messages
        tools = tools_from(row.get("tools"))
        if tools:
            record["tools"] = tools
        return record


def _history(value: Any) -> list[dict[str, Any]]:
    messages = []
    for pair in value or []:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise content_error("bad_history", "The history is no list of pairs of question and answer.")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return messages

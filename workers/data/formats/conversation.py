"""ShareGPT (`conversations`: from, value) and OpenAI messages (`messages`: role, content), and their preference forms."""

from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import VERDICT_COLUMNS, answers_from, common_fields, messages_from, tools_from, verdict_from


class _Conversation(Shape):
    columns: tuple[str, ...]

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return any(_is_turns(row.get(name)) for name in self.columns)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        column = next((name for name in self.columns if row.get(name) is not None), None)
        if column is None:
            raise content_error("no_messages", "The row has no «{column}».", column=self.columns[0])
        return conversation_record(row, column)


class ShareGpt(_Conversation):
    name = "sharegpt"
    columns = ("conversations", "conversation")


class OpenAi(_Conversation):
    name = "openai"
    columns = ("messages", "prompt")

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return super().recognises(row) or _has_preferred_output(row)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        if _has_preferred_output(row):
            flat = {
                name: value for name, value in row.items() if name not in ("input", "preferred_output", "non_preferred_output")
            }
            return conversation_record(
                {**flat, **row["input"], "chosen": row["preferred_output"], "rejected": row["non_preferred_output"]}, "messages"
            )
        return super().to_record(row, mapping)


def _has_preferred_output(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("input"), Mapping) and "preferred_output" in row and "non_preferred_output" in row


def _is_turns(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], Mapping)
        and ("role" in value[0] or "from" in value[0] or "content" in value[0])
    )


def conversation_record(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    media: list[dict[str, Any]] = []
    messages = messages_from(row[column], media)
    if isinstance(row.get("system"), str) and row["system"] and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": row["system"]})
    if row.get("completion") is not None:
        messages += answers_from(row["completion"], media) or []
    chosen, rejected = answers_from(row.get("chosen"), media), answers_from(row.get("rejected"), media)
    used = [column, "system", "tools", "functions", "completion", "chosen", "rejected", *VERDICT_COLUMNS]
    record = common_fields(row, used, media)
    record["messages"] = messages
    if chosen is not None and rejected is not None:
        record.update(chosen=chosen, rejected=rejected)
    verdict = verdict_from(row)
    if verdict is not None:
        record["desirable"] = verdict
    if row.get("label") is not None and not isinstance(row["label"], bool):
        record["label"] = str(row["label"])
    tools = tools_from(row.get("tools", row.get("functions")))
    if tools:
        record["tools"] = tools
    return record

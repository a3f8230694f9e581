"""Guanaco: a whole conversation in one text, its turns begun by `### Human:` and `### Assistant:`."""

import re
from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import OURS, common_fields

TURN = re.compile(r"### (Human|Assistant|System): ?")
NAMES = {"user": "Human", "assistant": "Assistant", "system": "System"}
_ROLES = {name: role for role, name in NAMES.items()}


class Guanaco(Shape):
    name = "guanaco"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        text = row.get("text")
        return isinstance(text, str) and "messages" not in row and bool(TURN.match(text.lstrip()))

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        text = row.get("text")
        parts = TURN.split(text.strip()) if isinstance(text, str) else []
        if len(parts) < 3 or parts[0].strip():
            raise content_error("no_messages", "The row has no «{column}».", column="### Human:")
        record = common_fields(row, ("text", OURS), [])
        if isinstance(row.get(OURS), Mapping):
            record.update(row[OURS])
        record["messages"] = [
            {"role": _ROLES[name], "content": content.strip()} for name, content in zip(parts[1::2], parts[2::2], strict=True)
        ]
        if not any(message["content"] for message in record["messages"]):
            raise content_error("no_content", "All turns of the conversation are empty.")
        return record

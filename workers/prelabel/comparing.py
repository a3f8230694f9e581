"""When two answers to a question mean the same."""

from collections.abc import Mapping
from typing import Any


def same(field: Mapping[str, Any], one: Any, other: Any) -> bool:
    """Ids of marks and the order of choices do not count."""
    if field["type"] == "spans":
        marks = [{(mark["start"], mark["end"], mark["label"]) for mark in value or []} for value in (one, other)]
        return marks[0] == marks[1]
    if field["type"] == "tree" or field.get("multiple"):
        return sorted(one or []) == sorted(other or [])
    return bool(one == other)

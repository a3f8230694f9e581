"""The product's own record, one JSON object; also as a table whose columns are its fields."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from workers.data.formats.base import Shape, content_error
from workers.data.formats.json_values import parse
from workers.spec.record import Facets, Record

FIELDS = tuple(Record.model_fields)
FACETS = tuple(Facets.model_fields)
JSON_COLUMNS = (
    "messages", "tools", "choices", "chosen", "rejected", "media", "extra", "desirable", "responses", "annotations",
)  # fmt: skip
TABLE_COLUMNS = ("id", "modality", "text", "label", "answer", *(f"facets.{name}" for name in FACETS), *JSON_COLUMNS)
_CONTENT = frozenset({"text", "messages", "media", "choices"})


class Canonical(Shape):
    name = "jsonl"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        if not (isinstance(row.get("id"), str) and row.keys() <= set(FIELDS) and _CONTENT & row.keys()):
            return False
        try:
            Record.model_validate(row)
        except ValidationError:
            return False
        return True

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        return dict(row)


class CanonicalTable(Shape):
    """What the CSV export writes: cells that begin like a formula carry an apostrophe, lists are JSON."""

    name = "csv"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return tuple(row)[:3] == TABLE_COLUMNS[:3] and row.keys() <= set(TABLE_COLUMNS)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        facets: dict[str, Any] = {}
        for name, cell in row.items():
            text = unguard(cell)
            if text == "":
                continue
            if name in JSON_COLUMNS or name == "answer":
                record[name] = _json_cell(name, text)
            elif name.startswith("facets."):
                facets[name.removeprefix("facets.")] = text
            else:
                record[name] = "" if cell == EMPTY_TEXT else text
        if facets:
            record["facets"] = facets
        return record


def _json_cell(name: str, text: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise content_error(
            "broken_json", "The cell «{column}» is no valid JSON: {detail}.", column=name, detail=error.msg
        ) from error


EMPTY_TEXT = "''"
"""How a text that is there but empty is written, unlike one that is absent."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text.lstrip("'").startswith(_FORMULA_STARTS) or text == EMPTY_TEXT else text


def unguard(cell: str) -> str:
    bare = cell.lstrip("'")
    guarded = cell.startswith("'") and (bare.startswith(_FORMULA_STARTS) or cell == "'" + EMPTY_TEXT)
    return cell[1:] if guarded else cell

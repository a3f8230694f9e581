"""What changed in a text, word by word; Chinese is compared by character."""

import re
from difflib import SequenceMatcher
from typing import Any, Literal

Kind = Literal["same", "added", "removed"]
Piece = tuple[Kind, str]
TOKENS = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]|\w+|\s+|[^\w\s]")
MOST_TOKENS = 2000
"""Longer texts are compared line by line."""


def word_diff(old: str, new: str) -> list[Piece]:
    """Pieces in reading order; what was removed comes before what was put in its place."""
    before, after = TOKENS.findall(old), TOKENS.findall(new)
    if max(len(before), len(after)) > MOST_TOKENS:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
        if max(len(before), len(after)) > MOST_TOKENS:
            return [("removed", old), ("added", new)]
    pieces: list[Piece] = []
    for operation, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if operation == "equal":
            pieces.append(("same", "".join(before[start:end])))
            continue
        if end > start:
            pieces.append(("removed", "".join(before[start:end])))
        if new_end > new_start:
            pieces.append(("added", "".join(after[new_start:new_end])))
    return pieces


def record_diff(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, list[Piece]]]:
    """Every place that differs between two slim records, by its path (`label`, `messages.1.content`)."""
    before, after = dict(_places(old)), dict(_places(new))
    paths = [*before, *(path for path in after if path not in before)]
    return [
        (path, word_diff(before.get(path, ""), after.get(path, "")))
        for path in paths
        if path != "id" and before.get(path) != after.get(path)
    ]


def _places(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [place for name, item in parts for place in _places(item, f"{path}.{name}" if path else str(name))]
    return [(path, "" if value is None else str(value))]

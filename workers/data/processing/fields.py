"""Where the words of a record are: reading them, and changing them everywhere. Records are slim canonical dictionaries."""

from collections.abc import Callable, Iterator
from typing import Any

CONVERSATIONS = ("messages", "chosen", "rejected", "responses")
POINTING = {"spans", "relations"}
HEAD = 1500


def parts(record: dict[str, Any], *, system: bool = True) -> Iterator[str]:
    """Every text of a record, in order: text, choices, turns. `system`: system prompts too."""
    if record.get("text"):
        yield record["text"]
    yield from record.get("choices") or ()
    for name in CONVERSATIONS:
        for message in record.get(name) or ():
            if message.get("content") and (system or message.get("role") != "system"):
                yield message["content"]


def words(record: dict[str, Any], *, system: bool = True) -> str:
    return "\n".join(parts(record, system=system))


def change_parts(record: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The record with every text passed through `change`; the same object when nothing changed."""
    changed: dict[str, Any] = {}
    if record.get("text") and (text := change(record["text"])) != record["text"]:
        changed["text"] = text
    if choices := record.get("choices"):
        new = [change(choice) for choice in choices]
        if new != choices:
            changed["choices"] = new
    for name in CONVERSATIONS:
        if messages := record.get(name):
            said = [
                {**message, "content": change(message["content"])} if message.get("content") else message for message in messages
            ]
            if said != messages:
                changed[name] = said
    return {**record, **changed} if changed else record


def change_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Every string of a JSON value (not the keys) passed through `change`."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: change_strings(item, change) for key, item in value.items()}
    return [change_strings(item, change) for item in value] if isinstance(value, list) else value


def points_into_text(record: dict[str, Any]) -> bool:
    """Spans count the characters of the text: it must not change under them."""
    return any(answer.get("type") in POINTING and answer.get("value") for answer in record.get("annotations") or ())


def with_facet(record: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if (record.get("facets") or {}).get(name) == value:
        return record
    return {**record, "facets": {**(record.get("facets") or {}), name: value}}


def media_key(record: dict[str, Any]) -> str:
    """Names the media of a record: equal keys, equal media."""
    media = record.get("media") or ()
    return "\n".join(str(item.get("sha256") or item.get("url") or item.get("path") or item.get("name")) for item in media)


def head(text: str, limit: int = HEAD) -> str:
    """The beginning of a text, for showing."""
    return text if len(text) <= limit else text[:limit] + "…"

"""What a canonical record (its slim JSON) is filtered by."""

import math
from datetime import date
from typing import Any

from workers.data.language import guess_language

NO_DATE = -(1 << 31)
EPOCH = date(1970, 1, 1).toordinal()
TEXT_LIMIT = 20_000
LONGEST_VALUE = 200
DATE_COLUMNS = ("date", "created_at", "created", "published", "timestamp", "time")
CONVERSATIONS = ("messages", "chosen", "rejected", "responses")


def record_words(data: dict[str, Any]) -> str:
    """The words of a record, turn by turn."""
    parts = [data["text"]] if data.get("text") else []
    parts += data.get("choices") or []
    for name in CONVERSATIONS:
        if name in data:
            parts += [message["content"] for message in data[name] or [] if message.get("content")]
    return "\n".join(parts)


def content(data: dict[str, Any], words: str) -> str:
    """What must not be on both sides of a split: the words, whatever their case and spacing, and the files."""
    files = [
        str(item.get("sha256") or item.get("url") or item.get("path") or item.get("name")) for item in data.get("media") or []
    ]
    return " ".join([*words.lower().split(), *files])


def record_kind(data: dict[str, Any]) -> str:
    """What a record can be used for first."""
    if data.get("chosen"):
        return "preference"
    if data.get("responses"):
        return "ranking"
    if data.get("desirable") is not None:
        return "verdict"
    if data.get("choices"):
        return "choice"
    if data.get("messages"):
        return "conversation"
    return "classification" if data.get("label") else "text"


def record_language(data: dict[str, Any], text: str) -> str:
    return (data.get("facets") or {}).get("language") or guess_language(text) or ""


def categories(data: dict[str, Any], language: str) -> tuple[str, ...]:
    """The values of CATEGORIES, in their order."""
    facets = data.get("facets") or {}
    split = (data.get("extra") or {}).get("split")
    media = data.get("media")
    return (
        record_kind(data),
        data.get("modality", "text"),
        language,
        facets.get("domain") or "",
        facets.get("licence") or "",
        facets.get("source") or "",
        data.get("label") or "",
        label_state(data),
        split if isinstance(split, str) else "",
        "yes" if media else "no",
        "yes" if data.get("tools") else "no",
    )


def label_state(data: dict[str, Any]) -> str:
    """Whether people or a model have said something about the record: labelled, answered (it ends with an answer), open."""
    if data.get("label") is not None or data.get("annotations") or data.get("desirable") is not None or data.get("chosen"):
        return "labelled"
    if data.get("answer") is not None:
        return "answered"
    messages = data.get("messages")
    return "answered" if messages and messages[-1]["role"] == "assistant" else "open"


def numbers(data: dict[str, Any], length: int, size: int) -> list[float]:
    """The values of NUMBERS, in their order."""
    quality = (data.get("facets") or {}).get("quality")
    messages = data.get("messages")
    extra = data.get("extra")
    return [
        min(length, 0xFFFFFFFF),
        min(size, 0xFFFFFFFF),
        len(messages) if messages else 0,
        math.nan if quality is None else quality,
        record_date(extra) if extra else NO_DATE,
    ]


def record_date(extra: dict[str, Any]) -> int:
    """Days since 1970 from the first column that is named like a date and begins like one (2024-05-31…); else NO_DATE."""
    for name in DATE_COLUMNS:
        value = extra.get(name)
        if isinstance(value, str) and len(value) >= 10 and (day := day_number(value[:10])) is not None:
            return day
    return NO_DATE


def day_number(text: str) -> int | None:
    try:
        return date.fromisoformat(text).toordinal() - EPOCH
    except ValueError:
        return None

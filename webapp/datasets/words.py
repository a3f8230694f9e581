"""What a record says, as plain words: for search and for the line that a list shows."""

from typing import Any

from webapp.core.bodies import clean

__all__ = ["clean", "record_kind", "record_text"]

TEXT_LIMIT = 20_000
CONVERSATIONS = ("messages", "chosen", "rejected")


def record_text(data: dict[str, Any]) -> str:
    """The words of a canonical record (its slim JSON), turn by turn, up to TEXT_LIMIT characters."""
    parts = [data["text"]] if data.get("text") else []
    parts += data.get("choices") or []
    for name in CONVERSATIONS:
        parts += [message["content"] for message in data.get(name) or [] if message.get("content")]
    return "\n".join(parts)[:TEXT_LIMIT].replace("\x00", "")


def record_kind(data: dict[str, Any]) -> str:
    """What a record can be used for first: preference, choice, conversation, classification, text."""
    if data.get("chosen"):
        return "preference"
    if data.get("choices"):
        return "choice"
    if data.get("messages"):
        return "conversation"
    return "classification" if data.get("label") else "text"

"""What a record says, as plain words: for search and for the line that a list shows."""

from typing import Any

from webapp.core.bodies import clean
from workers.data.index.facts import TEXT_LIMIT, record_kind, record_words

__all__ = ["clean", "record_kind", "record_text"]


def record_text(data: dict[str, Any]) -> str:
    """The words of a canonical record (its slim JSON), turn by turn, up to TEXT_LIMIT characters."""
    return record_words(data)[:TEXT_LIMIT].replace("\x00", "")

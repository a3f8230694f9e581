"""Stage `language`: records in the wanted languages go on."""

from typing import Any

from workers.data.language import guess_language
from workers.data.processing.fields import with_facet, words
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import LanguageStage


class Screening(RecordStage):
    """Judges what can be read already; documents are judged by `judge` when their text has been extracted."""

    def __init__(self, settings: LanguageStage, *, documents_follow: bool) -> None:
        self.keep = set(settings.keep)
        self.unknown = settings.unknown
        self.documents_follow = documents_follow

    def process(self, record: dict[str, Any]) -> Outcome:
        if self.documents_follow and carries_document(record):
            return Outcome(record)
        return self.judge(record)

    def judge(self, record: dict[str, Any]) -> Outcome:
        """By the record's words; a record without words keeps the language that it says it has."""
        text = words(record)
        language = guess_language(text) if text else (record.get("facets") or {}).get("language")
        if language is None:
            return Outcome(record) if self.unknown or not text else Outcome(None, "unknown_language")
        if language not in self.keep:
            return Outcome(None, "other_language", {"language": language})
        return Outcome(with_facet(record, "language", language))


def carries_document(record: dict[str, Any]) -> bool:
    """Whether the extraction stage may turn the record into something else."""
    has_file = any(item.get("kind") == "file" for item in record.get("media") or ())
    return has_file or (record.get("text") or "").lstrip()[:1] == "<"

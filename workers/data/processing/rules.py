"""Stage `rules`: records that break a simple rule are dropped; the first rule broken is the reason."""

import re
from collections.abc import Iterator
from typing import Any

from workers.data.processing import measures
from workers.data.processing.fields import words
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import RulesStage


class Rules(RecordStage):
    """Records without any words (a picture without caption) are not judged."""

    def __init__(self, settings: RulesStage) -> None:
        self.settings = settings
        self.bad = bad_word_pattern(settings.bad_words)

    def process(self, record: dict[str, Any]) -> Outcome:
        text = words(record)
        if not text and record.get("media"):
            return Outcome(record)
        broken = next(self._broken(text), None)
        return Outcome(record) if broken is None else Outcome(None, broken[0], broken[1])

    def _broken(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        settings = self.settings
        length = len(text.strip())
        if length < settings.minimum_characters:
            yield "too_short", {"value": length, "limit": settings.minimum_characters}
        if length > settings.maximum_characters:
            yield "too_long", {"value": length, "limit": settings.maximum_characters}
        if length >= settings.shares_from:
            yield from self._shares(text)
        if self.bad:
            found = self.bad.findall(text)
            if len(found) > settings.maximum_bad_words:
                yield "bad_words", {"value": len(found), "limit": settings.maximum_bad_words, "word": found[0]}

    def _shares(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        settings = self.settings
        for reason, measure, limit in (
            ("symbols", measures.symbol_share, settings.maximum_symbols),
            ("digits", measures.digit_share, settings.maximum_digits),
            ("urls", measures.url_share, settings.maximum_urls),
            ("repeated_lines", measures.repeated_line_share, settings.maximum_repeated_lines),
        ):
            if limit < 1 and (value := measure(text)) > limit:
                yield reason, {"value": round(value, 3), "limit": limit}
        if settings.maximum_repeated_ngrams >= 1 and not settings.minimum_stop_words:
            return
        tokens = measures.tokens(text)
        value = measures.repeated_ngram_share(tokens)
        if value > settings.maximum_repeated_ngrams:
            yield "repeated_ngrams", {"value": round(value, 3), "limit": settings.maximum_repeated_ngrams}
        small = measures.stop_words(tokens)
        if small < settings.minimum_stop_words:
            yield "stop_words", {"value": small, "limit": settings.minimum_stop_words}


def bad_word_pattern(listed: list[str]) -> re.Pattern[str] | None:
    """Whole words in scripts with spaces, anywhere in Chinese; the case of letters does not matter."""
    wanted = sorted({word.strip() for word in listed if word.strip()}, key=lambda word: (-len(word), word))
    if not wanted:
        return None
    return re.compile("|".join(_bounded(word) for word in wanted), re.IGNORECASE)


def _bounded(word: str) -> str:
    before = r"(?<![^\W_])" if word[0].isascii() and word[0].isalnum() else ""
    after = r"(?![^\W_])" if word[-1].isascii() and word[-1].isalnum() else ""
    if before or after:  # a Chinese neighbour is no part of a Latin word
        before = before and r"(?<![A-Za-z0-9])"
        after = after and r"(?![A-Za-z0-9])"
    return before + re.escape(word) + after

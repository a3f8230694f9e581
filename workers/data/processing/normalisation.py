"""Stage `normalisation`: one way of writing the same thing. Chinese characters are never converted."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from workers.data.processing.fields import change_parts, points_into_text
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import NormalisationStage

# Control characters but tab and line feed; soft hyphen, zero-width space, word joiner, byte order mark, and the marks that
# turn the direction of writing. The zero-width joiners stay: emoji and Indic scripts are written with them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(r"[ \t]+(?=\n|\Z)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_SEVERAL = re.compile(r"(?<=\S) {2,}(?=\S)")


class Normalisation(RecordStage):
    def __init__(self, settings: NormalisationStage) -> None:
        self.steps: list[tuple[str, Callable[[str], str]]] = []
        if settings.control:
            self.steps.append(("control", without_control))
        if settings.unicode != "none":
            form = settings.unicode
            self.steps.append(("unicode", lambda text: unicodedata.normalize(form, text)))
        if settings.whitespace:
            self.steps.append(("whitespace", tidy_whitespace))
        if settings.collapse_spaces:
            self.steps.append(("spaces", lambda text: _SEVERAL.sub(" ", text)))

    def process(self, record: dict[str, Any]) -> Outcome:
        if points_into_text(record):
            return Outcome(record)
        what: list[str] = []
        for name, change in self.steps:
            changed = change_parts(record, change)
            if changed is not record:
                what.append(name)
                record = changed
        return Outcome(record, what[0] if what else "", {"steps": what} if what else {})


def without_control(text: str) -> str:
    text = _LINE_ENDS.sub("\n", text) if "\r" in text or not text.isascii() else text
    return _CONTROL.sub("", text)


def tidy_whitespace(text: str) -> str:
    """Line ends, spaces of other kinds, spaces at the end of lines, and more than one empty line. Indentation stays."""
    if not text.isascii():
        text = _SPACES.sub(" ", text)
    text = _TRAILING.sub("", _LINE_ENDS.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", text).strip("\n")

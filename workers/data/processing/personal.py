"""Stage `personal`: e-mail addresses, telephone numbers, Chinese identity numbers, bank cards and IP addresses.

Numbers with a check digit are only taken when it is right: ISO 7064 MOD 11-2 for identity numbers (GB 11643), Luhn for
cards (ISO/IEC 7812). Patterns have bounded lengths, so that no text makes them slow.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from workers.data.processing.fields import CONVERSATIONS, change_strings
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import PersonalStage

_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9])", re.ASCII)
_ID_CARD = re.compile(r"(?<![0-9A-Za-z])[1-8]\d{16}[\dXx](?![0-9A-Za-z])", re.ASCII)
_BANK_CARD = re.compile(r"(?<![\d.-])[2-9]\d{3}(?:[ -]?\d{4}){2,3}(?:[ -]?\d{1,3})?(?![\d-])", re.ASCII)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"(?:\+?86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}"
    r"|\(?0\d{2,3}\)?[ -]\d{7,8}"
    r"|\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"
    r"|\d{3}[.-]\d{3}[.-]\d{4}"
    r")(?![\w-])",
    re.ASCII,
)
_IP = re.compile(
    r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:]))", re.ASCII
)
_VERSION = re.compile(r"(?:\bv|version|release|版本)[ :：]*\Z", re.IGNORECASE)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
MASKS = {"email": "[EMAIL]", "id_card": "[ID_CARD]", "bank_card": "[BANK_CARD]", "phone": "[PHONE]", "ip": "[IP]"}
_SEARCHED = (*CONVERSATIONS, "text", "choices", "tools", "extra", "media", "annotations")
_UNTOUCHED = {"id", "q", "type", "role", "label", "tool_call_id", "sha256", "url", "path", "kind", "name"}


def is_id_card(number: str) -> bool:
    """18 characters: region, birthday, order, check character."""
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=False))
    return 1880 <= born.year <= 2100 and "10X98765432"[total % 11] == number[17].upper()


def is_bank_card(number: str) -> bool:
    digits = [int(character) for character in number if character.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_phone(number: str) -> bool:
    return 7 <= sum(character.isdigit() for character in number) <= 15


def is_ip(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified or found.is_multicast) and len(address) > 4


_FINDERS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "email": (_EMAIL, lambda _found: True),
    "id_card": (_ID_CARD, is_id_card),
    "bank_card": (_BANK_CARD, is_bank_card),
    "phone": (_PHONE, is_phone),
    "ip": (_IP, is_ip),
}
"""In this order: what one finds, the next does not see."""


def find(text: str, kinds: set[str]) -> list[tuple[int, int, str]]:
    """(start, end, kind) of what is personal, in order and without overlaps."""
    if not any(character in text for character in "@:+.") and not any(map(str.isdigit, text)):
        return []
    found: list[tuple[int, int, str]] = []
    taken = bytearray(len(text))
    for kind, (pattern, is_right) in _FINDERS.items():
        if kind not in kinds:
            continue
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            if kind == "ip" and _VERSION.search(text[max(0, start - 12) : start]):
                continue
            if is_right(match.group()):
                found.append((start, end, kind))
                taken[start:end] = b"\x01" * (end - start)
    return sorted(found)


def mask(text: str, found: list[tuple[int, int, str]], *, hint: int = 0) -> str:
    """The text with what was found replaced; `hint` characters of it stay readable, for showing what was found."""
    pieces, last = [], 0
    for start, end, kind in found:
        pieces += [text[last:start], text[start : start + hint] + "•••" if hint else MASKS[kind]]
        last = end
    return "".join([*pieces, text[last:]])


def masked_examples(reports: list[dict[str, Any]], kinds: set[str]) -> list[dict[str, Any]]:
    """Reports of stages without what is personal: their examples were taken before it was masked."""

    def masked(text: str) -> str:
        return mask(text, found) if (found := find(text, kinds)) else text

    examples = ("dropped_samples", "changed_samples", "clusters")
    return [
        {name: _searched(value, masked) if name in examples else value for name, value in report.items()} for report in reports
    ]


def moved(position: int, found: list[tuple[int, int, str]], *, end: bool) -> int:
    """Where a position of the old text lies in the masked one; inside of a mask: at its edge."""
    shift = 0
    for start, stop, kind in found:
        if position <= start:
            break
        if position < stop:
            return start + shift + (len(MASKS[kind]) if end else 0)
        shift += len(MASKS[kind]) - (stop - start)
    return position + shift


class Personal(RecordStage):
    def __init__(self, settings: PersonalStage) -> None:
        self.kinds = set(settings.kinds)
        self.drop = settings.action == "drop"

    def process(self, record: dict[str, Any]) -> Outcome:
        counts: dict[str, int] = {}

        def masked(text: str) -> str:
            found = find(text, self.kinds)
            for _start, _end, kind in found:
                counts[kind] = counts.get(kind, 0) + 1
            return mask(text, found) if found else text

        changed = dict(record)
        for name in _SEARCHED:
            if record.get(name) and name != "annotations":
                changed[name] = _searched(record[name], masked)
        if record.get("annotations"):
            changed["annotations"] = self._annotations(record, changed, masked)
        if not counts:
            return Outcome(record)
        kind = max(counts, key=lambda name: (counts[name], name))
        before = "\n".join(
            mask(text, found, hint=2) if (found := find(text, self.kinds)) else text for text in _shown(record, self.kinds)
        )
        return Outcome(None if self.drop else changed, kind, counts, shown=before)

    def _annotations(self, record: dict[str, Any], changed: dict[str, Any], masked: Callable[[str], str]) -> list[Any]:
        """Spans move with the text that they point into; other answers are masked like any text."""
        found = find(record.get("text") or "", self.kinds)
        answers = []
        for answer in record["annotations"]:
            value = answer.get("value")
            if answer.get("type") == "spans" and isinstance(value, list):
                value = [_moved_span(span, found, record.get("text") or "", changed.get("text") or "", masked) for span in value]
            else:
                value = _searched(value, masked)
            answers.append({**answer, "value": value})
        return answers


def _moved_span(
    span: dict[str, Any], found: list[tuple[int, int, str]], old: str, text: str, masked: Callable[[str], str]
) -> dict[str, Any]:
    """A span of the text moves with it; one that points elsewhere (its words say so) keeps its place."""
    if old[span["start"] : span["end"]] != span.get("text"):
        return {**span, "text": masked(str(span.get("text", "")))}
    start, end = moved(span["start"], found, end=False), moved(span["end"], found, end=True)
    return {**span, "start": start, "end": end, "text": text[start:end]}


def _searched(value: Any, masked: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: item if key in _UNTOUCHED else _searched(item, masked) for key, item in value.items()}
    if isinstance(value, list):
        return [_searched(item, masked) for item in value]
    return change_strings(value, masked)


def _shown(record: dict[str, Any], kinds: set[str]) -> list[str]:
    """The texts of a record in which something was found."""
    texts: list[str] = []

    def note(text: str) -> str:
        if find(text, kinds):
            texts.append(text)
        return text

    for name in _SEARCHED:
        if record.get(name):
            _searched(record[name], note)
    return texts[:5]

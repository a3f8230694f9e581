"""Filters as the address of a page says them, and in words: `?q=refund&label=card&label=cash&length_min=10&sort=-length`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

from webapp.core.errors import UserError
from workers.data.index.facts import EPOCH, day_number
from workers.spec.filters import CATEGORIES, NONE, NUMBERS, RecordFilter

FACET_NAMES: dict[str, Promise] = {
    "kind": gettext_lazy("Task"),
    "modality": gettext_lazy("Modality"),
    "language": gettext_lazy("Language"),
    "domain": gettext_lazy("Domain"),
    "licence": gettext_lazy("Licence"),
    "source": gettext_lazy("Source"),
    "label": gettext_lazy("Label"),
    "state": gettext_lazy("Label state"),
    "split": gettext_lazy("Part"),
    "media": gettext_lazy("Has files"),
    "tools": gettext_lazy("Uses tools"),
    "length": gettext_lazy("Length, characters"),
    "bytes": gettext_lazy("Size, bytes"),
    "turns": gettext_lazy("Turns"),
    "quality": gettext_lazy("Quality"),
    "date": gettext_lazy("Date"),
    "count": gettext_lazy("Records"),
}
DATASET_NUMBERS = ("count", "bytes", "date")
VALUE_NAMES: dict[str, dict[str, Promise]] = {
    "kind": {
        "text": gettext_lazy("texts"),
        "classification": gettext_lazy("labelled texts"),
        "conversation": gettext_lazy("conversations"),
        "preference": gettext_lazy("preferences"),
        "ranking": gettext_lazy("answers to rank"),
        "verdict": gettext_lazy("answers with a verdict"),
        "choice": gettext_lazy("multiple choice"),
    },
    "modality": {
        "text": gettext_lazy("text"),
        "image": gettext_lazy("image"),
        "audio": gettext_lazy("audio"),
        "video": gettext_lazy("video"),
    },
    "language": {"zh": gettext_lazy("Chinese"), "en": gettext_lazy("English")},
    "state": {
        "labelled": gettext_lazy("labelled"),
        "answered": gettext_lazy("answered"),
        "open": gettext_lazy("neither label nor answer"),
    },
    "split": {"train": gettext_lazy("training"), "test": gettext_lazy("test"), "validation": gettext_lazy("validation")},
    "media": {"yes": gettext_lazy("yes"), "no": gettext_lazy("no")},
    "tools": {"yes": gettext_lazy("yes"), "no": gettext_lazy("no")},
}
OPEN_GROUPS = 4
LISTED_VALUES = 14


def value_name(facet: str, value: str) -> str:
    if value in {"", NONE}:
        return _("none given")
    return str(VALUE_NAMES.get(facet, {}).get(value, value))


def from_query(query: QueryDict) -> RecordFilter:
    """The filter in an address. Facets and numbers that are not known are ignored, values that cannot be are an error."""
    values = {name: [value for value in query.getlist(name) if value] for name in CATEGORIES}
    if values["language"] == ["unknown"]:
        values["language"] = [NONE]
    ranges = {}
    for name in NUMBERS:
        bounds = tuple(_bound(name, query.get(f"{name}_{side}", "").strip()) for side in ("min", "max"))
        if bounds != (None, None):
            ranges[name] = bounds
    picked = query.getlist("position")
    return checked_filter(
        q=(query.get("q") or query.get("search") or "").strip(),
        values={name: chosen for name, chosen in values.items() if chosen},
        ranges=ranges,
        positions=[int(position) for position in picked if position.isdecimal()][:10_000] if picked else None,
        sort=query.get("sort", ""),
    )


def dataset_conditions(query: QueryDict) -> tuple[dict[str, list[str]], dict[str, tuple[Any, Any]]]:
    """Values of facets and ranges of numbers that a list of datasets is filtered by; dates as dates."""
    values = {name: [value for value in query.getlist(name) if value] for name in CATEGORIES}
    ranges: dict[str, tuple[Any, Any]] = {}
    for name in DATASET_NUMBERS:
        least, most = (_bound(name, query.get(f"{name}_{side}", "").strip()) for side in ("min", "max"))
        if (least, most) != (None, None):
            ranges[name] = (_day(least), _day(most)) if name == "date" else (least, most)
    return {name: chosen for name, chosen in values.items() if chosen}, ranges


def _day(bound: float | None) -> date | None:
    return None if bound is None else date.fromordinal(EPOCH + int(bound))


def checked_filter(**fields: Any) -> RecordFilter:
    try:
        return RecordFilter(**fields)
    except ValidationError as error:
        detail = str(error.errors()[0]["msg"])
        raise UserError("filter.invalid", "The filter cannot be understood: {detail}", status=422, detail=detail) from error


def _bound(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        if name == "date":
            day = day_number(text)
            if day is None:
                raise ValueError
            return float(day)
        number = float(text)
        if not abs(number) <= 1e15:  # too large, or NaN
            raise ValueError
    except ValueError as error:
        raise UserError(
            "filter.bad_number", "“{value}” is no value for “{name}”; give a number, or a date like 2026-05-31.",
            status=422, value=text[:40], name=str(FACET_NAMES[name]),
        ) from error  # fmt: skip
    return number


def pairs(wanted: RecordFilter) -> list[tuple[str, str]]:
    """The filter as parameters of an address."""
    found = [("q", wanted.q)] if wanted.q else []
    found += [(name, value) for name, values in wanted.values.items() for value in values]
    for name, bounds in wanted.ranges.items():
        for side, bound in zip(("min", "max"), bounds, strict=True):
            if bound is not None:
                found.append((f"{name}_{side}", number_text(name, bound)))
    found += [("position", str(position)) for position in wanted.positions or []]
    return [*found, ("sort", wanted.sort)] if wanted.sort else found


def to_query(wanted: RecordFilter) -> str:
    return urlencode(pairs(wanted))


def number_text(name: str, bound: float) -> str:
    if name == "date":
        return date.fromordinal(EPOCH + int(bound)).isoformat()
    return f"{bound:g}" if bound != int(bound) else str(int(bound))


@dataclass(frozen=True)
class Chip:
    """One condition in words, and the query without it."""

    text: str
    query: str


def chips(wanted: RecordFilter) -> list[Chip]:
    given = [pair for pair in pairs(wanted) if pair[0] not in {"sort", "position"}]
    sort = [("sort", wanted.sort)] if wanted.sort else []
    found = [
        Chip(_in_words(name, value), urlencode([*(other for other in given if other != (name, value)), *sort]))
        for name, value in given
    ]
    if wanted.positions is not None:
        text = _("picked by hand: %(count)s") % {"count": len(wanted.positions)}
        found.append(Chip(text, urlencode([*given, *sort])))
    return found


def _in_words(name: str, value: str) -> str:
    if name == "q":
        return f"“{value}”"
    if name.endswith(("_min", "_max")):
        facet, sign = name[:-4], "≥" if name.endswith("_min") else "≤"
        return f"{FACET_NAMES[facet]} {sign} {value}"
    return f"{FACET_NAMES[name]}: {value_name(name, value)}"


def describe(wanted: RecordFilter) -> str:
    """All conditions in one line."""
    return " · ".join(chip.text for chip in chips(wanted)) or _("all records")


def facet_groups(values: Mapping[str, list[str]], counts: Mapping[str, Mapping[str, list[int]]]) -> list[dict[str, Any]]:
    """What the filter panel offers: facets with more than one value, and those that are chosen."""
    groups = []
    for name in CATEGORIES:
        found = counts.get(name, {})
        chosen = values.get(name, [])
        if len(found) < 2 and not chosen:
            continue
        most = max((numbers[0] for numbers in found.values()), default=1)
        listed = list(found)[:LISTED_VALUES]
        listed += [value for value in (("" if value == NONE else value) for value in chosen) if value not in listed]
        options = [
            {
                "value": value or NONE,
                "name": value_name(name, value),
                "count": found.get(value, [0])[0],
                "percent": round(100 * found.get(value, [0])[0] / most),
                "chosen": (value or NONE) in chosen,
            }
            for value in listed
        ]
        groups.append(
            {"name": name, "label": FACET_NAMES[name], "options": options, "open": bool(chosen), "more": len(found) > len(listed)}
        )
    for index, group in enumerate(groups):
        group["open"] = group["open"] or index < OPEN_GROUPS
    return groups


def dataset_number_fields(ranges: Mapping[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    fields = []
    for name in DATASET_NUMBERS:
        low, high = (
            "" if bound is None else f"{bound:g}" if name != "date" else str(bound) for bound in ranges.get(name, (None, None))
        )
        kind = "date" if name == "date" else "number"
        fields.append({"name": name, "label": FACET_NAMES[name], "least": "", "most": "", "low": low, "high": high, "type": kind})
    return fields


def number_fields(wanted: RecordFilter, ranges: Mapping[str, list[float]], *, always: bool = False) -> list[dict[str, Any]]:
    """Numbers whose least and most value differ (`always`: all, without these as examples), with what is asked of them."""
    fields = []
    for name in NUMBERS:
        least, most = ranges.get(name, [0, 0])
        low, high = wanted.ranges.get(name, (None, None))
        if least == most and low is None and high is None and not always:
            continue
        fields.append(
            {
                "name": name,
                "label": FACET_NAMES[name],
                "least": "" if always else number_text(name, least),
                "most": "" if always else number_text(name, most),
                "low": "" if low is None else number_text(name, low),
                "high": "" if high is None else number_text(name, high),
                "type": "date" if name == "date" else "number",
            }
        )
    return fields

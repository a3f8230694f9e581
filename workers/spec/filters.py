"""Which records: words, values of facets, ranges, or picked by hand; and in which order."""

import re

from pydantic import Field, field_validator

from workers.spec.base import Spec

CATEGORIES = ("kind", "modality", "language", "domain", "licence", "source", "label", "state", "split", "media", "tools")
"""Facets with named values; an absent one is the empty string."""
NUMBERS = {"length": "I", "bytes": "I", "turns": "I", "quality": "f", "date": "i"}
"""Facets with an order and their array type codes: characters, bytes of the stored line, turns, quality, days since 1970."""

NONE = "(none)"
"""The value of a facet that a record does not have."""
MAXIMUM_WORDS = 8
ID_MARK = "id:"
_WORD = re.compile(r'(-?)(?:"([^"]+)"|(\S+))')
Bound = float | None


class RecordFilter(Spec):
    """All conditions hold together; several values of one facet are alternatives."""

    q: str = Field("", max_length=500, description='words that all occur; "a phrase"; -word must not occur; id:r7')
    values: dict[str, list[str]] = Field(default_factory=dict, description="facet → accepted values")
    ranges: dict[str, tuple[Bound, Bound]] = Field(default_factory=dict, description="number → least and most, inclusive")
    positions: list[int] | None = Field(None, description="picked by hand; other conditions hold as well")
    sort: str = Field("", description="a number, with - for the largest first; empty: as in the file")

    @field_validator("values")
    @classmethod
    def known_values(cls, values: dict[str, list[str]]) -> dict[str, list[str]]:
        if unknown := values.keys() - set(CATEGORIES):
            raise ValueError(f"no such facet: {', '.join(sorted(unknown))}")
        return {name: chosen for name, chosen in values.items() if chosen}

    @field_validator("ranges")
    @classmethod
    def known_ranges(cls, ranges: dict[str, tuple[Bound, Bound]]) -> dict[str, tuple[Bound, Bound]]:
        if unknown := ranges.keys() - NUMBERS.keys():
            raise ValueError(f"no such number: {', '.join(sorted(unknown))}")
        return {name: bounds for name, bounds in ranges.items() if bounds != (None, None)}

    @field_validator("sort")
    @classmethod
    def known_sort(cls, sort: str) -> str:
        return sort if sort.removeprefix("-") in NUMBERS else ""

    @property
    def words(self) -> tuple[list[str], list[str]]:
        """Words that must occur and words that must not, in small letters, the longest first."""
        wanted: list[str] = []
        unwanted: list[str] = []
        for minus, phrase, word in _WORD.findall(self.q)[:MAXIMUM_WORDS]:
            text = (phrase or word).lower().replace("\x00", "")
            if text and not (word.startswith(ID_MARK) and not minus):
                (unwanted if minus else wanted).append(text)
        return sorted(wanted, key=len, reverse=True), unwanted

    @property
    def ids(self) -> list[str]:
        """Ids that are asked for by name (`id:r7`)."""
        found = [word for minus, _phrase, word in _WORD.findall(self.q)[:MAXIMUM_WORDS] if word.startswith(ID_MARK) and not minus]
        return [word.removeprefix(ID_MARK) for word in found]

    @property
    def is_empty(self) -> bool:
        return not (self.q.strip() or self.values or self.ranges or self.positions is not None)

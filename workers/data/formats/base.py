"""What a format is: a container cuts a file into rows, a shape turns a row into a canonical record and back.

Every format is one module with one subclass, listed in `workers.data.formats`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.data.source import Source
from workers.spec.errors import UserError

HEAD_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: an object by column name (`value`), where it stands, and how it begins."""

    line: int
    value: dict[str, Any]
    head: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that could not be read."""

    line: int
    error: UserError
    head: str


def problem(line: int, head: str | bytes, code: str, template: str, **params: Any) -> Problem:
    text = head.decode("utf-8", "replace") if isinstance(head, bytes) else head
    return Problem(line, UserError(f"record.{code}", template, **params), text[:HEAD_CHARACTERS])


class Container:
    """How a file is cut into rows."""

    name: str
    suffixes: tuple[str, ...] = ()
    row_per_line = False
    """Every line is a row of its own, whatever stands before it."""

    def recognises(self, head: bytes, whole: bool) -> bool:
        """Whether a file that begins with `head` (UTF-8; `whole`: that is all of it) is of this kind."""
        raise NotImplementedError

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        raise NotImplementedError


@dataclass(frozen=True)
class Loss:
    """Something that an export cannot carry: how many records have it, told in one sentence.

    `left_out`: those records are not in the export at all.
    """

    code: str
    template: str
    count: int
    params: dict[str, Any] = field(default_factory=dict)
    left_out: bool = False

    @property
    def message(self) -> str:
        return self.template.format(count=self.count, **self.params)


class Shape:
    """How a row says what a record is."""

    name: str

    def recognises(self, row: Mapping[str, Any]) -> bool:
        raise NotImplementedError

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        """The record's fields (without a made-up id). Raises UserError when the row is not of this shape."""
        raise NotImplementedError


def content_error(code: str, template: str, **params: Any) -> UserError:
    return UserError(f"record.{code}", template, **params)

"""How a file is read: what it gives is the same for a text file, an archive and a table of columns.

A `Reading` yields `Content` (the fields of a record that are not checked yet) or a `Problem` for each row, in order.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.data.archive import Archive
from workers.data.formats import find_container, find_shape
from workers.data.formats.base import Problem, Row
from workers.data.formats.columns import MAPPABLE, Columns, guess
from workers.data.media_files import MediaSink, Stored
from workers.data.source import Source
from workers.spec.errors import UserError

SAMPLE = 50


@dataclass(frozen=True)
class Settings:
    """What the user chose for an import; the defaults let the content decide."""

    format: str = "auto"
    encoding: str = "auto"
    mapping: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    licence: str | None = None
    domain: str | None = None


@dataclass(slots=True)
class Content:
    """What a row says: the fields of a record. `member`: the file of an archive in which it stands.

    `stored`: files that were taken in with it already, by their place in `fields["media"]`.
    """

    line: int
    head: str
    fields: dict[str, Any]
    member: str = ""
    stored: dict[int, Stored] = field(default_factory=dict)


class Reading:
    """One file being read."""

    format: str
    container: str
    encoding: str = "utf-8"
    encodings_offered: tuple[str, ...] = ()
    columns: list[str]
    mapping: dict[str, str]
    archive: Archive | None = None

    def __init__(self) -> None:
        self.columns, self.mapping = [], {}

    @property
    def size(self) -> int:
        raise NotImplementedError

    @property
    def position(self) -> int:
        """Bytes read so far, of `size`."""
        raise NotImplementedError

    def mark(self) -> tuple[int, int] | None:
        """Where the reading is, when it can go on from there; None: only from the beginning."""
        return None

    def go_on(self, mark: tuple[int, int]) -> None:
        """Let `contents` begin where a mark was taken."""
        raise NotImplementedError

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        raise NotImplementedError


class FileReading(Reading):
    """Text: a container that cuts it into rows, and a shape that says what a row is."""

    def __init__(self, source: Source, name: str, settings: Settings) -> None:
        super().__init__()
        self.source = source
        self._container = find_container(settings.format, name, source.head, source.is_whole)
        sample = self._sample()
        self.columns = list(dict.fromkeys(column for row in sample for column in row))
        self._renamed = check_mapping(settings.mapping, self.columns)
        rows = [rename(row, self._renamed) for row in sample]
        self.shape = Columns() if self._renamed != dict(settings.mapping) else find_shape(settings.format, rows)
        given = {name: column for name, column in settings.mapping.items() if name not in self._renamed}
        self.mapping = guess(rows, given) if isinstance(self.shape, Columns) else {}
        self.container = self._container.name
        self.format = self.container if self.shape.name == "columns" else self.shape.name
        self.encoding = source.encoding
        self.encodings_offered = ("gb18030",) if source.looks_like_gb18030 else ()

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def position(self) -> int:
        return self.source.position

    def mark(self) -> tuple[int, int] | None:
        return self.source.mark if self._container.row_per_line and self.source.can_go_on else None

    def go_on(self, mark: tuple[int, int]) -> None:
        self.source.go_on(mark)

    def _sample(self) -> list[dict[str, Any]]:
        """The first rows that can be read; a file of broken rows is not searched to its end."""
        rows = itertools.islice(self._container.rows(self.source), 20 * SAMPLE)
        good = (row.value for row in rows if isinstance(row, Row))
        return list(itertools.islice(good, SAMPLE))

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        for row in self._container.rows(self.source):
            if isinstance(row, Problem):
                yield row
                continue
            try:
                yield Content(row.line, row.head, self.shape.to_record(rename(row.value, self._renamed), self.mapping))
            except UserError as error:
                yield Problem(row.line, error, row.head)


def rename(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The row with its columns called as the user's mapping says."""
    if not names:
        return row
    return {
        **{column: value for column, value in row.items() if column not in names.values()},
        **{name: row[column] for name, column in names.items() if column in row},
    }


_RENAMEABLE = frozenset({"messages", "conversations", "tools", "chosen", "rejected", "images", "audios", "videos", "history"})


def check_mapping(mapping: Mapping[str, str], columns: list[str]) -> dict[str, str]:
    """The part of the mapping that only renames whole columns. Raises UserError for columns that are not there."""
    for name, column in mapping.items():
        if name not in MAPPABLE and name not in _RENAMEABLE:
            raise UserError(
                "dataset.unknown_field",
                "«{field}» is no field that a column can be mapped to; known are {known}.",
                field=name,
                known=", ".join((*MAPPABLE, *sorted(_RENAMEABLE))),
            )
        missing = [part for part in column.split(",") if part not in columns and column not in columns]
        if missing:
            raise UserError(
                "dataset.unknown_column",
                "The file has no column «{column}»; it has {columns}.",
                column=missing[0],
                columns=", ".join(columns[:30]),
            )
    return {name: column for name, column in mapping.items() if name in _RENAMEABLE}


def head_of(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:200]

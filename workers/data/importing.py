"""From an uploaded file to canonical records: recognise, read row by row, refuse bad rows one by one."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workers.data.formats import find_container, find_shape
from workers.data.formats.base import Container, Problem, Row, Shape, content_error
from workers.data.formats.columns import MAPPABLE, Columns, guess
from workers.data.language import guess_language
from workers.data.records import record_line, slim
from workers.data.source import MAX_LINE, Source
from workers.spec.errors import UserError
from workers.spec.record import Record

_SAMPLE = 50


@dataclass(frozen=True)
class Settings:
    """What the user chose for an import; the defaults let the content decide."""

    format: str = "auto"
    encoding: str = "auto"
    mapping: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    licence: str | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A good record, the canonical line that stores it, and where it came from."""

    record: dict[str, Any]
    line: bytes
    source_line: int


class Importer:
    """One file being imported. Iterating gives an `Imported` or a `Problem` for each row, in order."""

    def __init__(self, path: Path, name: str, settings: Settings) -> None:
        self.settings = settings
        self.source = Source(path, settings.encoding)
        self.container: Container = find_container(settings.format, name, self.source.head, self.source.is_whole)
        sample = self.sample()
        self.columns = list(dict.fromkeys(column for row in sample for column in row))
        self._renamed = _check_mapping(settings.mapping, self.columns)
        rows = [self._rename(row) for row in sample]
        self.shape: Shape = find_shape(settings.format, rows)
        if self._renamed != dict(settings.mapping):
            self.shape = Columns()
        given = {name: column for name, column in settings.mapping.items() if name not in self._renamed}
        self.mapping: dict[str, str] = guess(rows, given) if isinstance(self.shape, Columns) else {}
        given_facets = (("language", settings.language), ("licence", settings.licence), ("domain", settings.domain))
        self._chosen_facets = [(name, value) for name, value in given_facets if value]
        self._seen: set[str] = set()
        self._number = 0

    def sample(self) -> list[dict[str, Any]]:
        """The first rows that can be read; a file of broken rows is not searched to its end."""
        rows = itertools.islice(self.container.rows(self.source), 20 * _SAMPLE)
        good = (row.value for row in rows if isinstance(row, Row))
        return list(itertools.islice(good, _SAMPLE))

    @property
    def format(self) -> str:
        """The name of what was recognised: the shape's, or the container's for plain columns."""
        return self.container.name if self.shape.name == "columns" else self.shape.name

    def _rename(self, row: dict[str, Any]) -> dict[str, Any]:
        if not self._renamed:
            return row
        return {
            **{column: value for column, value in row.items() if column not in self._renamed.values()},
            **{name: row[column] for name, column in self._renamed.items() if column in row},
        }

    def __iter__(self) -> Iterator[Imported | Problem]:
        for row in self.container.rows(self.source):
            if isinstance(row, Problem):
                yield row
                continue
            try:
                yield self._record(row)
            except UserError as error:
                yield Problem(row.line, error, row.head)

    def _record(self, row: Row) -> Imported:
        self._number += 1
        content = self.shape.to_record(self._rename(row.value), self.mapping)
        identifier = content.pop("id", None) or str(self._number)
        if identifier in self._seen:
            raise content_error("duplicate_id", "The id «{id}» was there before; the first record was kept.", id=identifier[:80])
        try:
            record = Record.model_validate({"id": identifier, **content})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise content_error(
                "wrong_shape", "The field «{field}» is not right: {detail}.", field=place, detail=first["msg"]
            ) from error
        canonical = slim(record.model_dump(mode="json"))
        self._add_facets(canonical)
        line = _line(canonical)
        self._seen.add(identifier)
        return Imported(canonical, line, row.line)

    def _add_facets(self, record: dict[str, Any]) -> None:
        facets = record.get("facets", {})
        for name, value in self._chosen_facets:
            facets.setdefault(name, value)
        if "language" not in facets:
            language = guess_language(_words(record))
            if language:
                facets["language"] = language
        if facets:
            record["facets"] = facets


def _words(record: Mapping[str, Any]) -> str:
    text = record.get("text")
    return text if text is not None else "\n".join(message["content"] for message in record.get("messages", [])[:4])


def _line(canonical: dict[str, Any]) -> bytes:
    try:
        line = record_line(canonical)
    except UnicodeEncodeError as error:
        raise content_error("lone_surrogate", "The text holds half of a character (a lone surrogate such as \\ud800).") from error
    except ValueError as error:
        raise content_error("not_a_number", "The record holds NaN or infinity, which JSON does not know.") from error
    if len(line) > MAX_LINE:
        raise content_error("line_too_long", "The record is longer than {limit} MB; split it.", limit=MAX_LINE // 1024 // 1024)
    if b"\\u0000" in line and "\0" in _all_text(canonical):
        raise content_error("null_character", "The text holds the character NUL, which cannot be stored; remove it.")
    return line


def _all_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    children = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return "".join(map(_all_text, children))


_RENAMEABLE = frozenset({"messages", "conversations", "tools", "chosen", "rejected", "images", "audios", "videos", "history"})


def _check_mapping(mapping: Mapping[str, str], columns: list[str]) -> dict[str, str]:
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


def preview(path: Path, format: str = "auto", limit: int = 20, *, name: str | None = None, encoding: str = "auto",
            mapping: Mapping[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    """What an import of this file would give, from its first rows only: nothing is stored.

    `format`, `container`, `encoding`, `encodings_offered`, `columns`, `mapping`, `records` (canonical, with `source_line`),
    `errors` (line, code, message, head), `whole` (the file has no more rows than these).
    """
    importer = Importer(path, name or path.name, Settings(format=format, encoding=encoding, mapping=mapping or {}))
    records: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    whole = True
    for item in importer:
        if len(records) >= limit or len(errors) >= limit:
            whole = False
            break
        if isinstance(item, Problem):
            errors.append(error_row(item))
        else:
            records.append({**item.record, "source_line": item.source_line})
    return {
        "format": importer.format,
        "container": importer.container.name,
        "encoding": importer.source.encoding,
        "encodings_offered": ["gb18030"] if importer.source.looks_like_gb18030 else [],
        "columns": importer.columns,
        "mapping": importer.mapping,
        "records": records,
        "errors": errors,
        "whole": whole,
    }


def error_row(item: Problem) -> dict[str, Any]:
    """One line of errors.jsonl."""
    head = item.head[:200].encode("utf-8", "replace").decode()
    params = {name: _storable(value) for name, value in item.error.params.items()}
    message = item.error.message.encode("utf-8", "replace").decode()
    return {
        "line": item.line,
        "code": item.error.code,
        "message": message,
        "template": item.error.template,
        "params": params,
        "head": head,
    }


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

"""From an uploaded file to canonical records: recognise, read row by row, refuse bad rows one by one."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workers.data.attaching import Attacher
from workers.data.formats.base import Problem, content_error
from workers.data.language import guess_language
from workers.data.media_files import MediaSink
from workers.data.opening import open_reading
from workers.data.readings import Content, Reading, Settings
from workers.data.records import record_line, slim
from workers.data.source import MAX_LINE
from workers.spec.errors import UserError
from workers.spec.record import Facets, Record

__all__ = ["Imported", "Importer", "Settings", "error_row", "preview"]

PREVIEW_SECONDS = 4.0
"""After so long a preview shows what it has."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A good record, the canonical line that stores it, and where it came from."""

    record: dict[str, Any]
    line: bytes
    source_line: int


class Importer:
    """One file being imported. Iterating gives an `Imported` or a `Problem` for each row, in order.

    `media_folder`: where files go that come with the records; without it (a preview) they are only measured.
    """

    def __init__(self, path: Path, name: str, settings: Settings, media_folder: Path | None = None) -> None:
        self.settings = settings
        self.reading: Reading = open_reading(path, name, settings, is_preview=media_folder is None)
        self._sink = MediaSink(media_folder)
        self._attacher = Attacher(self.reading.archive, self._sink)
        given_facets = (("language", settings.language), ("licence", settings.licence), ("domain", settings.domain))
        self._chosen_facets = [(name, value) for name, value in given_facets if value]
        self._seen: set[str] = set()
        self._passed = 0
        self._number = self._numbered = self._rows = 0

    @property
    def format(self) -> str:
        """The name of what was recognised: the shape's, or the container's for plain columns."""
        return self.reading.format

    @property
    def mapping(self) -> dict[str, str]:
        return self.reading.mapping

    def state(self) -> dict[str, Any]:
        """Where the import is after the row that was given last; `go_on` takes it."""
        return {"rows": self._rows, "number": self._number, "numbered": self._numbered, "mark": self.reading.mark()}

    def go_on(self, state: Mapping[str, Any], known: Iterable[str]) -> None:
        """Let the iteration begin after that row. `known`: the ids of the records that were imported before it."""
        self._rows, self._number, self._numbered = state["rows"], state["number"], state["numbered"]
        self._seen = {identifier for identifier in known if not self._is_counted(identifier)}
        if state["mark"]:
            self.reading.go_on(tuple(state["mark"]))
        else:
            self._passed = self._rows

    def _contents(self) -> Iterator[Content | Problem]:
        contents = self.reading.contents(self._sink)
        self._sink.is_passing = True
        for _ in itertools.islice(contents, self._passed):
            pass
        self._sink.is_passing = False
        yield from contents

    def __iter__(self) -> Iterator[Imported | Problem]:
        for content in self._contents():
            self._rows += 1
            if isinstance(content, Problem):
                yield content
                continue
            try:
                yield self._record(content)
            except UserError as error:
                yield Problem(content.line, error, f"{content.member}: {content.head}"[:200] if content.member else content.head)

    def _record(self, row: Content) -> Imported:
        self._number += 1
        content = row.fields
        given = content.pop("id", None)
        if not given and self._numbered == self._number - 1:
            self._numbered = self._number
        identifier = self._identifier(given, row.member)
        if "media" in content:
            self._attacher.attach(row)
        canonical = _plain(identifier, content) or self._checked(identifier, content)
        self._add_facets(canonical)
        line = _line(canonical)
        if self._numbered < self._number:
            self._seen.add(identifier)
        return Imported(canonical, line, row.line)

    def _checked(self, identifier: Any, content: dict[str, Any]) -> dict[str, Any]:
        try:
            record = Record.model_validate({"id": identifier, **content})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise content_error(
                "wrong_shape", "The field «{field}» is not right: {detail}.", field=place, detail=first["msg"]
            ) from error
        return slim(record.model_dump(mode="json"))

    def _identifier(self, given: Any, member: str) -> Any:
        """The id of the row, else its number; in an archive the name of its file tells equal ones apart."""
        if not given and self._numbered == self._number:
            return str(self._number)
        if given and not isinstance(given, str):
            return given  # no id: the check of the record says so
        identifier = given or str(self._number)
        if self._is_taken(identifier) and member:
            identifier = f"{member}/{identifier}"
        if self._is_taken(identifier):
            raise content_error(
                "duplicate_id", "The id «{id}» was there before; the first record was kept.", id=str(identifier)[:80]
            )
        return identifier

    def _is_taken(self, identifier: str) -> bool:
        """Rows without ids at the beginning are only counted: a million of them need no memory."""
        return identifier in self._seen or self._is_counted(identifier)

    def _is_counted(self, identifier: str) -> bool:
        is_number = len(identifier) < 12 and identifier.isascii() and identifier.isdecimal() and identifier[0] != "0"
        return is_number and int(identifier) <= self._numbered

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


_PLAIN = frozenset({"text", "label", "extra", "facets"})
_FACETS = tuple(Facets.model_fields)


def _plain(identifier: Any, content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a mere text, without the cost of checking it field by field; None for everything else."""
    if not (content.keys() <= _PLAIN and isinstance(identifier, str) and isinstance(content.get("text"), str)):
        return None
    record: dict[str, Any] = {"id": identifier, "text": content["text"]}
    if "label" in content:
        if not isinstance(content["label"], str):
            return None
        record["label"] = content["label"]
    if content.get("extra"):
        if not isinstance(content["extra"], dict):
            return None
        record["extra"] = content["extra"]
    if content.get("facets"):
        facets = _plain_facets(content["facets"])
        if facets is None:
            return None
        record["facets"] = facets
    return record


def _plain_facets(given: Any) -> dict[str, Any] | None:
    """In the order of the record; None when one of them has to be looked at."""
    if not isinstance(given, dict):
        return None
    found = {name: given[name] for name in _FACETS if name in given}
    plain = all(isinstance(value, str) != (name == "quality") for name, value in found.items())
    if not plain or len(found) != len(given) or not isinstance(found.get("quality", 0.0), float):
        return None
    return found


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


def preview(path: Path, format: str = "auto", limit: int = 20, *, name: str | None = None, encoding: str = "auto",
            mapping: Mapping[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    """What an import of this file would give, from its first rows only: nothing is stored.

    `format`, `container`, `encoding`, `encodings_offered`, `columns`, `mapping`, `records` (canonical, with `source_line`),
    `errors` (line, code, message, head), `whole` (the file has no more rows than these).
    """
    importer = Importer(path, name or path.name, Settings(format=format, encoding=encoding, mapping=mapping or {}))
    records: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    whole, end = True, time.monotonic() + PREVIEW_SECONDS
    for item in importer:
        late = bool(records or errors) and time.monotonic() > end
        if late or len(records) >= limit or len(errors) >= limit:
            whole = False
            break
        if isinstance(item, Problem):
            errors.append(error_row(item))
        else:
            records.append({**item.record, "source_line": item.source_line})
    reading = importer.reading
    return {
        "format": reading.format,
        "container": reading.container,
        "encoding": reading.encoding,
        "encodings_offered": list(reading.encodings_offered),
        "columns": reading.columns,
        "mapping": reading.mapping,
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

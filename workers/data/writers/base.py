"""What a writer is: records in, the bytes of a file out as a stream, and what is lost on the way told from statistics."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.data.formats.base import Loss
from workers.data.records import canonical_json, slim
from workers.spec.record import Record

Files = Callable[[str], Path | None]
"""SHA-256 → where the stored file lies; None when it is not there."""

Row = dict[str, Any]


def no_files(sha256: str) -> Path | None:
    return None


class Counts:
    """What the statistics of a version (stats.json) say, zero where they say nothing."""

    def __init__(self, stats: Mapping[str, Any]) -> None:
        self.total = int(stats.get("count", 0))
        self._fields: Mapping[str, int] = stats.get("fields", {})
        self._features: Mapping[str, int] = stats.get("features", {})

    def field(self, name: str) -> int:
        return self._fields.get(name, 0)

    def feature(self, name: str) -> int:
        return self._features.get(name, 0)


@dataclass(frozen=True)
class Writer:
    """One export format. `losses` may give entries with a count of zero: they are no losses."""

    name: str
    label: str
    suffix: str
    pieces: Callable[[Iterable[Record], Files], Iterator[bytes]]
    losses: Callable[[Counts], Iterable[Loss]]


def left_out(code: str, template: str, count: int) -> Loss:
    return Loss(code, template, count, left_out=True)


def lines(rows: Callable[[Record], Iterable[Row]]) -> Callable[[Iterable[Record], Files], Iterator[bytes]]:
    """JSON Lines of what `rows` makes of each record."""

    def pieces(records: Iterable[Record], files: Files) -> Iterator[bytes]:
        return (canonical_json(row) + b"\n" for record in records for row in rows(record))

    return pieces


def json_list(rows: Callable[[Record], Iterable[Row]]) -> Callable[[Iterable[Record], Files], Iterator[bytes]]:
    """One JSON list, a row a line."""

    def pieces(records: Iterable[Record], files: Files) -> Iterator[bytes]:
        separator = b"[\n"
        for record in records:
            for row in rows(record):
                yield separator + canonical_json(row)
                separator = b",\n"
        yield b"\n]\n" if separator == b",\n" else b"[]\n"

    return pieces


def tags(record: Record, *also: str) -> Row:
    """Id, facets and leftovers (and the fields in `also`), under names that other programs ignore and the importers know."""
    content = slim(record.model_dump(mode="json"))
    return {name: content[name] for name in ("id", "facets", "extra", *also) if name in content}


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Parquet and Arrow: columns with types, read a batch of rows at a time; also as Hugging Face `datasets` stores them."""

import base64
import datetime
import decimal
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workers.data.archive import PREVIEW_UNPACKED, Archive, too_large_to_show
from workers.data.formats import find_shape
from workers.data.formats.base import Problem, Row
from workers.data.formats.columns import Columns, guess
from workers.data.media_files import MediaSink
from workers.data.readings import SAMPLE, Content, Reading, Settings, check_mapping, head_of, rename
from workers.spec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".arrow")
OWN_MARK = b"shuyuan"
"""Key of the schema's metadata that tells our own columns; its value names those that hold JSON."""
_BATCH_ROWS = 1000
_BATCH_ROWS_OF_FILES = 32


def is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6)[:4] in (b"PAR1", b"ARRO")


class TableReading(Reading):
    """One file of columns; `open_file` opens it anew, seekable."""

    def __init__(self, open_file: Callable[[], IO[bytes]], name: str, size: int, settings: Settings) -> None:
        super().__init__()
        self._open_file, self._name, self._size = open_file, name, size
        self.container = "parquet" if name.lower().endswith(".parquet") else "arrow"
        self._rows_read, self._rows_in_all = 0, 1
        sample = [row for batch in islice(self._batches(), 1) for row in batch[:SAMPLE]]
        self.columns = list(dict.fromkeys(column for row in sample for column in row))
        self._renamed = check_mapping(settings.mapping, self.columns)
        rows = [rename(row, self._renamed) for row in sample]
        self.shape = Columns() if self._renamed != dict(settings.mapping) else find_shape(settings.format, rows)
        given = {name: column for name, column in settings.mapping.items() if name not in self._renamed}
        self.mapping = guess(rows, given) if isinstance(self.shape, Columns) else {}
        self.format = self.container if self.shape.name == "columns" else self.shape.name

    @property
    def size(self) -> int:
        return self._size

    @property
    def position(self) -> int:
        return round(self._size * min(1.0, self._rows_read / max(1, self._rows_in_all)))

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        import pyarrow

        try:
            with self._open_file() as file, _opened(file, self.container) as (schema, batches, count):
                self._rows_in_all = count
                plain = _Plain(schema)
                for batch in batches:
                    yield [plain.row(row) for row in batch.to_pylist()]
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise UserError(
                "dataset.broken_table", "The file {file} cannot be read ({detail}); upload it again.",
                file=self._name, detail=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            ) from error  # fmt: skip

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        number = 0
        for batch in self._batches():
            for value in batch:
                number += 1
                self._rows_read = number
                row = Row(number, rename(value, self._renamed), "")
                try:
                    fields = self.shape.to_record(row.value, self.mapping)
                except UserError as error:
                    yield Problem(number, error, head_of(value))
                    continue
                yield Content(number, "", fields)


@contextmanager
def _opened(file: IO[bytes], container: str) -> Iterator[tuple["pyarrow.Schema", Iterator["pyarrow.RecordBatch"], int]]:
    """The schema, the batches, and how many rows there are (0: unknown)."""
    import pyarrow
    import pyarrow.parquet

    file.seek(0)
    if container == "parquet":
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        schema = table.schema_arrow
        yield schema, table.iter_batches(batch_size=_batch_rows(schema)), table.metadata.num_rows
        return
    if file.read(6) == b"ARROW1":
        file.seek(0)
        with pyarrow.ipc.open_file(file) as whole:
            batches = (whole.get_batch(index) for index in range(whole.num_record_batches))
            yield whole.schema, _cut(batches, whole.schema), 0
        return
    file.seek(0)
    with closing(pyarrow.ipc.open_stream(file)) as stream:
        yield stream.schema, _cut(iter(stream), stream.schema), 0


def _batch_rows(schema: "pyarrow.Schema") -> int:
    """Few at a time where columns hold files."""
    import pyarrow

    holds_files = any("binary" in str(field.type) for field in schema) or any(
        pyarrow.types.is_struct(field.type) for field in schema
    )
    return _BATCH_ROWS_OF_FILES if holds_files else _BATCH_ROWS


def _cut(batches: Iterator["pyarrow.RecordBatch"], schema: "pyarrow.Schema") -> Iterator["pyarrow.RecordBatch"]:
    rows = _batch_rows(schema)
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


class _Plain:
    """Rows in the values that JSON knows; classes by their names where Hugging Face's metadata tells them."""

    def __init__(self, schema: "pyarrow.Schema") -> None:
        metadata = schema.metadata or {}
        own = metadata.get(OWN_MARK)
        self._json: frozenset[str] = frozenset(json.loads(own)) if own else frozenset()
        self._own = own is not None
        self._classes = _class_names(metadata.get(b"huggingface"))

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if self._own:
            return {name: self._own_value(name, value) for name, value in row.items() if value is not None}
        return {name: self._value(name, value) for name, value in row.items()}

    def _own_value(self, name: str, value: Any) -> Any:
        if name in self._json:
            return json.loads(value)
        if name in ("messages", "chosen", "rejected"):
            return [_own_turn(turn) for turn in value]
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value

    def _value(self, name: str, value: Any) -> Any:
        names = self._classes.get(name)
        if names and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else None
        return plain_value(value)


def _own_turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in turn.items() if value is not None}
    if "tool_calls" in kept:
        kept["tool_calls"] = json.loads(kept["tool_calls"])
    return kept


def plain_value(value: Any) -> Any:
    """A value of a column as JSON could say it; a file's bytes become a data: address, which the import stores."""
    if isinstance(value, dict):
        return _file_address(value) or {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    not_finite = isinstance(value, float) and not math.isfinite(value)
    return None if not_finite else str(value) if isinstance(value, (datetime.timedelta, decimal.Decimal)) else value


def _file_address(value: Mapping[str, Any]) -> Any:
    """What stands for a file in a column of Hugging Face's pictures or sound."""
    if isinstance(value.get("bytes"), bytes):
        address = "data:;base64," + base64.b64encode(value["bytes"]).decode()
        return {"url": address, **({"name": value["path"]} if value.get("path") else {})}
    return value["path"] if value.keys() == {"bytes", "path"} else None


def _class_names(metadata: bytes | None) -> dict[str, list[str]]:
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = features.items() if isinstance(features, dict) else ()
    return {
        name: feature["names"]
        for name, feature in found
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }


_STREAM_START = b"\xff\xff\xff\xff"
"""How Arrow's stream format begins, in which Hugging Face's `datasets` stores its tables: a message, and no file mark."""


def open_member(archive: Archive, name: str, settings: Settings) -> TableReading:
    """Unpacked to a temporary file, because its end must be read first; a preview reads what can be read as a stream so."""

    def unpacked() -> IO[bytes]:
        if archive.is_preview and archive.size(name) > PREVIEW_UNPACKED:
            if archive.head(name, 8).startswith(_STREAM_START):
                return archive.open(name)
            raise too_large_to_show(name)
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by the reading)
        with archive.open(name) as member:
            shutil.copyfileobj(member, file, 1 << 20)
        return file

    return TableReading(unpacked, name, archive.size(name), settings)


def open_path(path: Path, name: str, settings: Settings) -> TableReading:
    shown = name if name.lower().endswith(SUFFIXES) else f"{name}.parquet"
    return TableReading(lambda: path.open("rb"), shown, path.stat().st_size, settings)

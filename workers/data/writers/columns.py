"""Parquet, and the folder that Hugging Face `datasets` loads: columns with types, turns as lists of objects."""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from workers.data.formats.base import Loss
from workers.data.packages.tables import OWN_MARK
from workers.data.writers.base import Counts, Files
from workers.data.writers.conversations import content_of
from workers.data.writers.zip_stream import ZipStream
from workers.spec.record import Record

if TYPE_CHECKING:
    import pyarrow

_ROWS = 2000
_JSON = ("tools", "responses", "media", "annotations", "extra")
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---
"""


def _schema() -> "pyarrow.Schema":
    import pyarrow

    text = pyarrow.string()
    turn = pyarrow.struct(
        [
            ("role", text),
            ("content", text),
            ("name", text),
            ("tool_calls", text),
            ("tool_call_id", text),
            ("train", pyarrow.bool_()),
        ]
    )
    facets = pyarrow.struct(
        [*((name, text) for name in ("source", "domain", "language", "licence")), ("quality", pyarrow.float64())]
    )
    columns = {
        "id": text,
        "modality": text,
        "text": text,
        "label": text,
        "messages": pyarrow.list_(turn),
        "choices": pyarrow.list_(text),
        "answer": pyarrow.int64(),
        "chosen": pyarrow.list_(turn),
        "rejected": pyarrow.list_(turn),
        "desirable": pyarrow.bool_(),
        **dict.fromkeys(_JSON, text),
        "facets": facets,
    }
    return pyarrow.schema(list(columns.items()), metadata={OWN_MARK: json.dumps(_JSON)})


class _Outlet(io.RawIOBase):
    """Takes what the writer gives and hands it on."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting.append(bytes(data))
        return len(self._waiting[-1])

    def take(self) -> bytes:
        taken, self._waiting = b"".join(self._waiting), []
        return taken


def parquet(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    """A row group for every portion of records, sent as soon as it is made."""
    import pyarrow
    import pyarrow.parquet

    schema, outlet, rows = _schema(), _Outlet(), map(_row, records)
    with pyarrow.parquet.ParquetWriter(pyarrow.PythonFile(outlet, mode="w"), schema, compression="zstd") as writer:
        while portion := list(islice(rows, _ROWS)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(portion, schema=schema))
            yield outlet.take()
    yield outlet.take()


def _row(record: Record) -> dict[str, Any]:
    row = content_of(record)
    for name in _JSON:
        if name in row:
            row[name] = json.dumps(row[name], ensure_ascii=False, separators=(",", ":"))
    for name in ("messages", "chosen", "rejected"):
        row[name] = [
            {**turn, "tool_calls": json.dumps(turn["tool_calls"], ensure_ascii=False)} if "tool_calls" in turn else turn
            for turn in row[name]
        ] if name in row else None  # fmt: skip
    return row


def huggingface(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    """`load_dataset("<folder>")` reads it once it is unpacked."""
    archive = ZipStream()
    yield from archive.add("README.md", [_CARD.encode()])
    yield from archive.add("data/train-00000-of-00001.parquet", parquet(records, files), packed=False)
    yield from archive.close()


def column_losses(counts: Counts) -> Iterator[Loss]:
    yield Loss("no_files_within", "The files of {count} records are not part of the export.", counts.feature("stored_media"))

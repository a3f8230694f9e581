"""Versions as files for people and other programs: the canonical file as it is, other formats converted on the way."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.text import slugify

from webapp.core import storage
from webapp.core.errors import NotFound, UserError, translate
from webapp.core.streaming import PIECE_BYTES, send_file, stream
from webapp.datasets.files import version_path
from webapp.datasets.media import files_of
from webapp.datasets.models import DatasetVersion
from workers.data.exporters import FORMATS, SUFFIXES, export, exported_count, losses
from workers.data.formats.canonical import guard
from workers.data.records import read_records

CONTENT_TYPES = {
    ".jsonl": "application/x-ndjson; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".parquet": "application/vnd.apache.parquet",
    ".conll": "text/plain; charset=utf-8",
}


def file_name(version: DatasetVersion, suffix: str, what: str = "") -> str:
    base = slugify(version.dataset.name, allow_unicode=True) or f"dataset-{version.dataset_id}"
    return f"{base}-v{version.number}{what}{suffix}"


def download(request: HttpRequest, version: DatasetVersion, format: str = "jsonl") -> HttpResponseBase:
    """`jsonl` is the canonical file itself (Range, ETag, X-Content-SHA256); others are made while they are sent."""
    path = version_path(version)
    if format not in FORMATS:
        raise UserError(
            "export.unknown_format", "«{format}» is no export format; choose one of {known}.",
            status=422, format=format, known=", ".join(FORMATS),
        )  # fmt: skip
    suffix = SUFFIXES[format]
    if format == "jsonl":
        name = file_name(version, suffix)
        return send_file(request, path, name=name, content_type=CONTENT_TYPES[suffix], sha256=version.sha256)
    pieces = gather(export(read_records(path), format, files_of(version)))
    response = stream(pieces, name=file_name(version, suffix, f"-{format}"), content_type=CONTENT_TYPES[suffix])
    response["X-Version-SHA256"] = version.sha256
    return response


def gather(pieces: Iterable[bytes], size: int = PIECE_BYTES // 8) -> Iterator[bytes]:
    """Small pieces joined to larger ones: a row at a time would cost a thread switch each."""
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= size:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)


def export_losses(version: DatasetVersion) -> dict[str, list[dict[str, Any]]]:
    """What each format that can say something of this version leaves out of it, told before the download."""
    return {
        format: [
            {"code": loss.code, "count": loss.count, "message": translate(loss.template, {"count": loss.count, **loss.params})}
            for loss in losses(format, version.stats)
        ]
        for format in FORMATS
        if exported_count(format, version.stats) > 0
    }


def refused_rows(version: DatasetVersion) -> Iterator[dict[str, Any]]:
    """The rows that an import refused: line, code, message (in the reader's language), head."""
    if not version.errors_path:
        return
    path = storage.inside(Path(settings.DATA_DIR), version.errors_path)
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            yield {
                "line": row["line"],
                "code": row["code"],
                "message": translate(row.get("template") or row["message"], row.get("params") or {}),
                "head": row["head"],
            }


def error_report(version: DatasetVersion, format: str = "csv") -> HttpResponseBase:
    """The refused rows as a download."""
    if not version.errors_path:
        raise NotFound
    rows = list(refused_rows(version)) if version.refused <= 1000 else refused_rows(version)
    pieces = _csv(rows) if format == "csv" else (json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    suffix = ".csv" if format == "csv" else ".jsonl"
    return stream(gather(pieces), name=file_name(version, suffix, "-errors"), content_type=CONTENT_TYPES[suffix])


def _csv(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    yield csv_line(["line", "code", "message", "head"], mark=True)
    for row in rows:
        yield csv_line([str(row["line"]), row["code"], row["message"], row["head"]])


def csv_line(cells: Iterable[str], *, mark: bool = False) -> bytes:
    """One line that no spreadsheet takes for formulas; `mark` begins the file with a BOM, which spreadsheets want for Chinese."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([guard(cell) for cell in cells])
    return (b"\xef\xbb\xbf" if mark else b"") + buffer.getvalue().encode()

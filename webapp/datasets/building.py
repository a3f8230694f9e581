"""From a canonical file to an immutable version: the file under the name of its content, rows in chunks, READY last.

Every step can be repeated: a process that is killed in the middle is followed by one that goes on where it stopped.
"""

import contextlib
import errno
import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.datasets import indexes, media
from webapp.datasets.files import canonical_path
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState
from workers.data.index.facts import TEXT_LIMIT, record_language, record_words
from workers.data.records import record_line, slim, slim_digest
from workers.data.statistics import Statistics
from workers.spec.record import Record

logger = logging.getLogger(__name__)
CHUNK_ROWS = 2000
ROW_COLUMNS = ("version_id", "position", "key", "digest", "data", "text", "label", "language")
ABANDONED_AFTER = timedelta(seconds=90)


def next_version(dataset: Dataset, **fields: Any) -> DatasetVersion:
    """A new version row that is being built; numbers count up and are never given twice."""
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        last = DatasetVersion.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
        return DatasetVersion.objects.create(dataset=dataset, number=last + 1, **fields)


def write_canonical(records: Iterable[Record]) -> Path:
    """A temporary canonical file in the datasets folder. Ids must differ; no record at all is an error."""
    path = storage.folder("datasets") / f".{uuid.uuid4().hex}.part"
    seen: set[str] = set()
    try:
        with full_disk_told(), path.open("wb") as file:
            for record in records:
                if record.id in seen:
                    raise UserError("dataset.duplicate_id", "Two records have the id “{id}”; give each its own.", id=record.id)
                seen.add(record.id)
                file.write(record_line(slim(record.model_dump(mode="json"))))
        if not seen:
            raise UserError("dataset.no_records", "There is no record to store; choose others.")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


@contextlib.contextmanager
def full_disk_told() -> Iterator[None]:
    """A disk that fills up becomes an error in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(
            "dataset.disk_full", "The disk is full; free some space, then try again: nothing was stored.", status=507
        ) from error


def place(version: DatasetVersion, file: Path) -> None:
    """Move a finished canonical file to its place and note it with the version. The rows follow."""
    version.sha256, version.bytes = storage.sha256(file), file.stat().st_size
    target = canonical_path(version.sha256)
    version.path = str(target.relative_to(settings.DATA_DIR))
    # The row names the file before it is there, so that deleting another version of the same content leaves it alone.
    DatasetVersion.objects.filter(pk=version.pk).update(sha256=version.sha256, bytes=version.bytes, path=version.path)
    file.replace(target)


def fill(version: DatasetVersion, counted: Mapping[str, Any] | None = None) -> None:
    """Rows of the placed file, a chunk a transaction, and its index; then READY. Goes on after the rows that are there.

    `counted`: the report of `workers.data.statistics` when a program has made it already. An index that lies there
    already, made by a program or for a version of the same content, is taken as it is.
    """
    last = RecordRow.objects.filter(version=version).aggregate(last=Max("position"))["last"]
    start = 0 if last is None else last + 1
    digests = indexes.whole_digests(version.sha256, counted["count"]) if counted else None
    if digests is None:
        counted = _fill_and_index(version, start)
    else:
        for first, lines in _chunks(version, start):
            read = (_Read(line, digests[position]) for position, line in enumerate(lines, start=first))
            _insert([_row(version, position, each) for position, each in enumerate(read, start=first)])
    opened = indexes.index_of(Path(settings.DATA_DIR, version.path), version.sha256)
    facets = opened.facets()
    kinds = {kind: count for kind, (count, _bytes) in facets["kind"].items()}
    finish(version, {**(counted or {}), "kinds": kinds, "facets": facets, "ranges": opened.ranges()})


class _Read:
    """A line of a canonical file and what its row and its index need of it."""

    __slots__ = ("data", "digest", "language", "line", "words")

    def __init__(self, line: bytes, digest: str | None = None) -> None:
        self.line = line
        self.data: dict[str, Any] = json.loads(line)
        self.words = record_words(self.data)
        self.language = record_language(self.data, self.words)
        self.digest = digest or slim_digest(self.data)


def _fill_and_index(version: DatasetVersion, start: int) -> dict[str, Any]:
    """Read the whole file: rows from `start` on, the index and the statistics, which are the answer."""
    from workers.data.index.builder import IndexBuilder  # loads numpy, which the start of the server can do without

    statistics = Statistics()
    index = IndexBuilder(indexes.index_folder(version.sha256))
    try:
        for first, lines in _chunks(version):
            rows = []
            for position, line in enumerate(lines, start=first):
                read = _Read(line)
                statistics.add(read.data, len(line))
                index.add(read.data, len(line), read.digest, read.words, read.language)
                if position >= start:
                    rows.append(_row(version, position, read))
            _insert(rows)
        index.finish()
    finally:
        index.discard()
    return statistics.report()


def finish(version: DatasetVersion, stats: dict[str, Any]) -> None:
    version.stats = stats
    media.claim(version)
    unfinished = DatasetVersion.objects.filter(pk=version.pk).exclude(state=VersionState.READY)
    unfinished.update(state=VersionState.READY, count=stats["count"], stats=stats)
    version.refresh_from_db()
    publish(f"workspace.{version.dataset.workspace_id}", version=version.pk, state=version.state)


def _chunks(version: DatasetVersion, start: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Lines of the canonical file from row `start` on, and the position of the first of each portion."""
    with Path(settings.DATA_DIR, version.path).open("rb") as file:
        lines = islice(file, start, None)
        position = start
        while chunk := list(islice(lines, CHUNK_ROWS)):
            yield position, chunk
            position += len(chunk)


def _row(version: DatasetVersion, position: int, read: _Read) -> tuple[Any, ...]:
    """The values of ROW_COLUMNS."""
    data, text = read.data, read.words[:TEXT_LIMIT].replace("\x00", "")
    label, line = (data.get("label") or "")[:200], read.line.decode().rstrip("\n")
    return version.pk, position, data["id"][:120], read.digest, line, text, label, read.language[:16]


def _insert(rows: list[tuple[Any, ...]]) -> None:
    """A chunk in one transaction; rows that are there already stay. Model instances would cost four times as much."""
    if not rows:
        return
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in ROW_COLUMNS)
    one = f"({', '.join(['%s'] * len(ROW_COLUMNS))})"
    insert = f"INSERT INTO {quote(RecordRow._meta.db_table)} ({columns}) VALUES "  # noqa: S608 - our own names
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(f"{insert}{one} ON CONFLICT DO NOTHING", rows)
        else:
            many = f"{insert}{', '.join([one] * len(rows))} ON CONFLICT DO NOTHING"
            cursor.execute(many, [value for row in rows for value in row])


def build(dataset: Dataset, records: Iterable[Record], **fields: Any) -> DatasetVersion:
    """A ready version from records; when something is wrong with them, nothing is left behind."""
    file = write_canonical(records)
    try:
        storage.require_space(2 * file.stat().st_size)
        version = next_version(dataset, **fields)
        place(version, file)
    finally:
        file.unlink(missing_ok=True)
    fill(version)
    return version


def resume_abandoned() -> None:
    """A duty: versions whose builder was killed after their file was placed."""
    abandoned = DatasetVersion.objects.filter(
        state=VersionState.BUILDING, job=None, created_at__lt=timezone.now() - ABANDONED_AFTER
    ).select_related("dataset")
    for version in abandoned:
        if version.path and Path(settings.DATA_DIR, version.path).exists():
            logger.info("building version %s goes on", version.pk)
            fill(version)
        else:
            version.delete()


def discard_file(path: str) -> None:
    """Remove a canonical file that no version names any more."""
    if path and not DatasetVersion.objects.filter(path=path).exists():
        with contextlib.suppress(OSError):
            storage.inside(Path(settings.DATA_DIR), path).unlink(missing_ok=True)
        indexes.discard_index(Path(path).stem)

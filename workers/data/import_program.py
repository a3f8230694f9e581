"""The job `import_dataset`: an uploaded file becomes records.jsonl with its index, stats.json and errors.jsonl of a new version.

It reads and writes as a stream; the files appear only when they are whole. Every few seconds it notes how far it is:
run again after a stop or a crash it counts the records that are there and goes on behind them, to the same bytes.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from workers.data.formats.base import Problem
from workers.data.importing import Imported, Importer, Settings, error_row
from workers.data.index.child import IndexChild
from workers.data.media_files import forget_parts
from workers.data.statistics import Statistics
from workers.program import Program, write_json
from workers.spec.data import ImportDatasetSpec
from workers.spec.errors import UserError

_REPORT_EVERY_SECONDS = 0.5
NOTE_EVERY_SECONDS = 2.0
_LOOK_EVERY_ROWS = 64
_MAX_ERRORS_KEPT = 100_000
_SHOWN_ERRORS = 5


def import_dataset(program: Program) -> Mapping[str, Any]:
    """Records that are good go in, the others into the report. Raises UserError when none is good."""
    spec = ImportDatasetSpec.model_validate(program.run.spec)
    upload = program.run.file("upload")
    settings = Settings(**{name: getattr(spec, name) for name in Settings.__dataclass_fields__})
    program.phase("reading")
    media_folder = program.run.output_dir / "media"
    forget_parts(media_folder)
    importer = Importer(upload.path, upload.name, settings, media_folder)
    outcome = _Outcome(program, importer, f"{spec.digest()}:{upload.path.stat().st_size}")
    outcome.run()
    return outcome.result(upload.name)


class _Outcome:
    """The files being written and what was counted. `source` names the upload and what was asked of it."""

    def __init__(self, program: Program, importer: Importer, source: str) -> None:
        self.program = program
        self.importer = importer
        self.source = source
        self.folder: Path = program.run.output_dir
        self.checkpoint = program.run.run_dir / "checkpoints" / "import.json"
        self.checkpoint.parent.mkdir(exist_ok=True)
        self.records, self.errors = self.folder / ".records.jsonl.tmp", self.folder / ".errors.jsonl.tmp"
        self.statistics = Statistics()
        self.refused: Counter[str] = Counter()
        self.first_error = ""
        self.digest = hashlib.sha256()
        self._reported = self._saved = self._started = time.monotonic()
        for left in self.folder.glob("*records.index*"):
            shutil.rmtree(left, ignore_errors=True)
        self.index = IndexChild(self.folder / "records.index")

    def run(self) -> None:
        try:
            self._write(self._kept())
        except OSError:  # a full disk gets back what was written
            for path in (self.records, self.errors, self.checkpoint):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.folder / "media", ignore_errors=True)
            raise
        finally:
            self.index.discard()
        self.errors.replace(self.folder / "errors.jsonl")
        if self.refused:
            self.program.artifact("errors", self.folder / "errors.jsonl", count=self.refused.total())
        if not self.statistics.count:
            self.records.unlink()
            raise UserError(
                "dataset.no_good_record",
                "None of the {count} rows could be read. The first one: {reason}",
                count=self.refused.total(),
                reason=self.first_error or "the file holds no rows.",
            )
        self.records.replace(self.folder / "records.jsonl")

    def _kept(self) -> dict[str, Any] | None:
        """What was noted by an interrupted run over the same file, when all that it wrote is there."""
        try:
            noted: dict[str, Any] = json.loads(self.checkpoint.read_text(encoding="utf-8"))
            sizes = self.records.stat().st_size, self.errors.stat().st_size
        except (FileNotFoundError, ValueError):
            return None
        whole = sizes[0] >= noted["records_bytes"] and sizes[1] >= noted["errors_bytes"]
        return noted if whole and noted["source"] == self.source else None

    def _write(self, noted: dict[str, Any] | None) -> None:
        with self.records.open("ab") as good, self.errors.open("ab") as bad:
            good.truncate(noted["records_bytes"] if noted else 0)
            bad.truncate(noted["errors_bytes"] if noted else 0)
            if noted:
                self._go_on(noted)
            for number, item in enumerate(self.importer, start=1):
                if isinstance(item, Imported):
                    good.write(item.line)
                    self._count(item.record, item.line)
                else:
                    self._refuse(item, bad)
                if number % _LOOK_EVERY_ROWS == 0:
                    self._report(good, bad)
            _sync(good)
            _sync(bad)
        self.index.finish()

    def _go_on(self, noted: Mapping[str, Any]) -> None:
        """Count the records of the run before, then let the import begin behind them."""
        self.refused.update(noted["refused"])
        self.first_error = noted["first_error"]
        known: list[str] = []
        with self.records.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                known.append(record["id"])
                self._count(record, line)
        self.importer.go_on(noted["importer"], known)
        self.program.events.emit("resumed", records=len(known))

    def _count(self, record: dict[str, Any], line: bytes) -> None:
        self.digest.update(line)
        self.statistics.add(record, len(line))
        self.index.add(line)

    def _note(self, good: BinaryIO, bad: BinaryIO) -> None:
        """How far it is, once that much is safe on the disk."""
        _sync(good)
        _sync(bad)
        noted = {
            "source": self.source,
            "records_bytes": good.tell(),
            "errors_bytes": bad.tell(),
            "refused": dict(self.refused),
            "first_error": self.first_error,
            "importer": self.importer.state(),
        }
        write_json(self.checkpoint, noted)
        self._saved = time.monotonic()

    def _refuse(self, item: Problem, bad: BinaryIO) -> None:
        row = error_row(item)
        self.refused[row["code"]] += 1
        total = self.refused.total()
        if total <= _MAX_ERRORS_KEPT:
            bad.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        if total <= _SHOWN_ERRORS:
            self.program.sample("refused_record", **row)
        self.first_error = self.first_error or row["message"]

    def _report(self, good: BinaryIO, bad: BinaryIO) -> None:
        now = time.monotonic()
        if self.program.should_stop or now - self._saved >= NOTE_EVERY_SECONDS:
            self._note(good, bad)
        self.program.check_stop()
        if now - self._reported < _REPORT_EVERY_SECONDS:
            return
        self._reported = now
        reading = self.importer.reading
        elapsed, done, size = now - self._started, max(reading.position, 1), reading.size
        self.program.progress(done, size, unit="bytes", eta_seconds=round(elapsed * max(0, size - done) / done, 1))

    def result(self, name: str) -> dict[str, Any]:
        self.program.phase("saving")
        facts = {
            "file": name,
            "format": self.importer.format,
            "container": self.importer.reading.container,
            "encoding": self.importer.reading.encoding,
            "mapping": self.importer.mapping,
            "refused": self.refused.total(),
            "refused_by_code": dict(self.refused),
        }
        write_json(self.folder / "stats.json", {**self.statistics.report(), "import": facts})
        self.program.artifact("records", self.folder / "records.jsonl", sha256=self.digest.hexdigest())
        self.program.artifact("stats", self.folder / "stats.json")
        size = self.importer.reading.size
        self.program.progress(size, size, unit="bytes", eta_seconds=0)
        return {
            "count": self.statistics.count,
            "bytes": self.statistics.bytes,
            "sha256": self.digest.hexdigest(),
            "seconds": round(time.monotonic() - self._started, 3),
            **facts,
        }


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

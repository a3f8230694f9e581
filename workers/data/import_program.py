"""The job `import_dataset`: an uploaded file becomes records.jsonl, stats.json and errors.jsonl of a new version.

It reads and writes as a stream and starts over when it is run again; the files appear only when they are whole.
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
from workers.data.importing import Importer, Settings, error_row
from workers.data.media_files import forget_parts
from workers.data.statistics import Statistics
from workers.program import Program, write_json
from workers.spec.data import ImportDatasetSpec
from workers.spec.errors import UserError

_REPORT_EVERY_SECONDS = 0.5
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
    outcome = _Outcome(program, importer)
    outcome.run()
    return outcome.result(upload.name)


class _Outcome:
    """The files being written and what was counted."""

    def __init__(self, program: Program, importer: Importer) -> None:
        self.program = program
        self.importer = importer
        self.folder: Path = program.run.output_dir
        self.statistics = Statistics()
        self.refused: Counter[str] = Counter()
        self.first_error = ""
        self.digest = hashlib.sha256()
        self._reported = self._started = time.monotonic()

    def run(self) -> None:
        records, errors = self.folder / ".records.jsonl.tmp", self.folder / ".errors.jsonl.tmp"
        try:
            self._write(records, errors)
        except OSError:  # a full disk gets back what was written
            records.unlink(missing_ok=True)
            errors.unlink(missing_ok=True)
            shutil.rmtree(self.folder / "media", ignore_errors=True)
            raise
        errors.replace(self.folder / "errors.jsonl")
        if self.refused:
            self.program.artifact("errors", self.folder / "errors.jsonl", count=self.refused.total())
        if not self.statistics.count:
            records.unlink()
            raise UserError(
                "dataset.no_good_record",
                "None of the {count} rows could be read. The first one: {reason}",
                count=self.refused.total(),
                reason=self.first_error or "the file holds no rows.",
            )
        records.replace(self.folder / "records.jsonl")

    def _write(self, records: Path, errors: Path) -> None:
        with records.open("wb") as good, errors.open("wb") as bad:
            for item in self.importer:
                if isinstance(item, Problem):
                    self._refuse(item, bad)
                else:
                    good.write(item.line)
                    self.digest.update(item.line)
                    self.statistics.add(item.record, len(item.line))
                if (self.statistics.count & 63) == 0:
                    self._report()
            _sync(good)
            _sync(bad)

    def _refuse(self, item: Problem, bad: BinaryIO) -> None:
        row = error_row(item)
        self.refused[row["code"]] += 1
        total = self.refused.total()
        if total <= _MAX_ERRORS_KEPT:
            bad.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        if total <= _SHOWN_ERRORS:
            self.program.sample("refused_record", **row)
        self.first_error = self.first_error or row["message"]

    def _report(self) -> None:
        self.program.check_stop()
        now = time.monotonic()
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

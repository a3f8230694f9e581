"""The jobs `derive_dataset` (one pass over a version's file makes its changed copy or its parts) and `store_records`.

What it writes depends on the file and the spec alone, so it starts over when it is run again.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from workers.data.index.reader import Index
from workers.data.records import read_records, record_line, slim
from workers.data.splitting import assign
from workers.data.statistics import Statistics
from workers.program import Program, write_json
from workers.spec.deriving import Change, DeriveSpec, output_files
from workers.spec.errors import UserError

REPORT_ROWS = 5000
LEFT_OUT = -1


def derive_dataset(program: Program) -> Mapping[str, Any]:
    spec = DeriveSpec.model_validate(program.run.spec)
    source = program.run.dataset()
    program.phase("reading")
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        program.check_stop()
        elapsed = time.monotonic() - started
        program.progress(done, total, unit="records", eta_seconds=round(elapsed * (total - done) / max(done, 1), 1))

    files = output_files(program.run.output_dir, len(spec.outputs))
    counts = derive(source.path, Index(source.path.with_suffix(".index")), spec, files, report)
    program.phase("saving")
    return {"counts": counts}


def store_records(program: Program) -> Mapping[str, Any]:
    """Check every record that was written down, count them, and hand the file over whole."""
    source = program.run.file("records").path
    target, temporary = program.run.output_dir / "records.jsonl", program.run.output_dir / ".records.jsonl.tmp"
    statistics, size = Statistics(), source.stat().st_size
    program.phase("reading")
    with temporary.open("wb") as file:
        for record in read_records(source):
            line = record_line(slim(record.model_dump(mode="json")))
            file.write(line)
            statistics.add(json.loads(line), len(line))
            if statistics.count % REPORT_ROWS == 0:
                program.check_stop()
                program.progress(statistics.bytes, size, unit="bytes")
    temporary.replace(target)
    write_json(program.run.output_dir / "stats.json", statistics.report())
    return {"count": statistics.count, "bytes": statistics.bytes}


def derive(
    source: Path, index: Index, spec: DeriveSpec, files: list[Path], report: Callable[[int, int], None] | None = None
) -> list[int]:
    """Write each output whole or not at all; returns how many records each has. No record at all is an error."""
    targets, chosen = plan(index, spec)
    counts = [0] * len(files)
    temporary = [file.with_name(f".{file.name}.tmp") for file in files]
    try:
        with ExitStack() as stack, source.open("rb") as lines:
            outputs = [stack.enter_context(path.open("wb")) for path in temporary]
            for position, line in enumerate(lines):
                if report and position % REPORT_ROWS == 0:
                    report(position, index.count)
                target = int(targets[position])
                if target == LEFT_OUT:
                    continue
                edited = chosen is not None and spec.change and chosen[position]
                outputs[target].write(changed_line(line, spec.change) if edited and spec.change else line)
                counts[target] += 1
        require_records(counts)
        for path, file in zip(temporary, files, strict=True):
            path.replace(file)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    return counts


def plan(index: Index, spec: DeriveSpec) -> "tuple[NDArray[numpy.int64], NDArray[numpy.bool_] | None]":
    """Which output every record goes to (LEFT_OUT: none), and which records are changed on the way."""
    if spec.split:
        return assign(index, spec.split), None
    chosen = index.select(spec.filter)
    action = spec.change.action if spec.change else "keep"
    if action == "set":
        return numpy.zeros(index.count, dtype=numpy.int64), chosen
    return numpy.where(chosen == (action == "keep"), 0, LEFT_OUT), None


def require_records(counts: list[int]) -> None:
    if not all(counts):
        raise UserError("dataset.nothing_left", "No record would be left; choose others.", status=422)


def changed_line(line: bytes, change: Change) -> bytes:
    return record_line(changed(json.loads(line), change))


def changed(data: dict[str, Any], change: Change) -> dict[str, Any]:
    """A slim record with one field set or, with an empty value, without it."""
    field, value = change.field, change.value.strip()
    record = dict(data)
    if field == "label":
        return _with(record, "label", value)
    part = "extra" if field == "split" else "facets"
    inner = _with(dict(record.get(part) or {}), str(field), float(value) if field == "quality" and value else value)
    kept = _with(record, part, inner)
    order = [name for name in kept if name not in {"extra", "facets"}] + [name for name in ("extra", "facets") if name in kept]
    return {name: kept[name] for name in order}


def _with(mapping: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if value or isinstance(value, float):
        mapping[name] = value
    else:
        mapping.pop(name, None)
    return mapping

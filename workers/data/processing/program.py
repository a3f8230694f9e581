"""The job `process_dataset`: records.jsonl, dropped.jsonl and report.json of a new version."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.data.processing.assembly import assemble
from workers.data.processing.extraction import MediaFiles
from workers.data.processing.personal import masked_examples
from workers.data.processing.pipeline import Pipeline, Watcher, sha256
from workers.program import Program, write_json
from workers.spec.errors import UserError
from workers.spec.processing import ProcessDatasetSpec
from workers.spec.run import DatasetInput, FileInput

_REPORT_EVERY_SECONDS = 0.5


def process_dataset(program: Program) -> Mapping[str, Any]:
    """Raises UserError when nothing is left; the report then says which stage dropped what."""
    started = time.monotonic()
    spec = ProcessDatasetSpec.model_validate(program.run.spec)
    source = program.run.dataset()
    stages = assemble(spec.stages, media=_media(program), sets=_sets(program, spec), threads=program.run.threads)
    digest = hashlib.sha256(f"{spec.digest()} {source.sha256}".encode()).hexdigest()
    output = program.run.output_dir
    pipeline = Pipeline(source.path, program.run.run_dir / "work", stages, digest, _watcher(program))
    if pipeline.is_done and not (output / "records.jsonl").exists():
        pipeline.restart()
    kept = _placed(pipeline.run(), output / "records.jsonl")
    dropped = _placed(pipeline.dropped, output / "dropped.jsonl")
    reports = pipeline.reports()
    if spec.stages.personal.on:
        reports = masked_examples(reports, set(spec.stages.personal.kinds))
    write_json(output / "report.json", {"stages": reports, "settings": spec.stages.model_dump(mode="json")})
    program.artifact("report", output / "report.json")
    program.artifact("dropped", dropped, count=sum(report["dropped"] for report in reports))
    count = reports[-1]["kept"]
    if not count:
        kept.unlink()
        raise nothing_left(reports)
    program.phase("saving")
    result = {
        "count": count,
        "bytes": kept.stat().st_size,
        "sha256": sha256(kept),
        "funnel": [{name: report[name] for name in _FUNNEL} for report in reports],
        "seconds": round(time.monotonic() - started, 3),
    }
    program.artifact("records", kept, sha256=result["sha256"])
    return result


def _placed(file: Path, target: Path) -> Path:
    """Moved to its place, by this attempt or the one before it."""
    if file.exists():
        file.replace(target)
    return target


_FUNNEL = ("name", "entered", "kept", "dropped", "changed", "reasons")


def nothing_left(reports: list[dict[str, Any]]) -> UserError:
    return UserError(
        "processing.nothing_left",
        "No record is left of {count}; the report shows which stage dropped them: make it milder, then start again.",
        count=reports[0]["entered"],
    )


def _media(program: Program) -> MediaFiles | None:
    """`media`: the folder; `held`: the digests that the version holds, one a line."""
    folder, held = (program.run.inputs.get(role) for role in ("media", "held"))
    if not isinstance(folder, FileInput) or not isinstance(held, FileInput):
        return None
    return MediaFiles(folder.path, frozenset(held.path.read_text(encoding="ascii").split()))


def _sets(program: Program, spec: ProcessDatasetSpec) -> dict[str, Path]:
    """The evaluation sets that were chosen, by name."""
    wanted = set(spec.stages.decontamination.against)
    inputs = [found for found in program.run.inputs.values() if isinstance(found, DatasetInput) and found.id in wanted]
    return {found.name: found.path for found in sorted(inputs, key=lambda found: found.id)}


def _watcher(program: Program) -> Watcher:
    started = time.monotonic()
    told = [0.0]

    def progress(share: float) -> None:
        program.check_stop()
        now = time.monotonic()
        if now - told[0] < _REPORT_EVERY_SECONDS and share < 1:
            return
        told[0] = now
        left = (now - started) * (1 - share) / share if share > 0.02 else None
        program.progress(round(share, 4), 1, eta_seconds=None if left is None else round(left, 1))

    return Watcher(stage=program.phase, progress=progress, check=program.check_stop)

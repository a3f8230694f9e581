"""How the tests run a pipeline: records in, records and reports out; or the real program in a child process."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from workers.data.processing.assembly import assemble
from workers.data.processing.pipeline import Pipeline, Watcher
from workers.data.records import record_line
from workers.program import EXIT_STOPPED
from workers.spec.processing import STAGE_ORDER, Stages

SILENT = Watcher(stage=lambda _name: None, progress=lambda _share: None, check=lambda: None)


def only(**settings: dict[str, Any]) -> Stages:
    """Stages of which just these are on."""
    off = {name: {"on": False} for name in STAGE_ORDER}
    return Stages.model_validate({**off, **{name: {"on": True, **values} for name, values in settings.items()}})


def texts(*said: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"r{index}", "text": text, **more} for index, text in enumerate(said)]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(record_line(record) for record in records))
    return path


def process(
    folder: Path, records: list[dict[str, Any]], stages: Stages, sets: dict[str, list[dict[str, Any]]] | None = None, **more: Any
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """(what stayed, reports by stage)."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    source = write(folder / "source.jsonl", records)
    files = {name: write(folder / f"set-{number}.jsonl", rows) for number, (name, rows) in enumerate((sets or {}).items())}
    pipeline = Pipeline(source, folder / "work", assemble(stages, media=more.pop("media", None), sets=files, **more), "d", SILENT)
    kept = [json.loads(line) for line in pipeline.run().read_bytes().splitlines()]
    return kept, {report["name"]: report for report in pipeline.reports()}


def start_program(folder: Path, records: Path, stages: Stages, count: int) -> "subprocess.Popen[bytes]":
    """`python -m workers.data.processing` on a run folder; started again it goes on."""
    folder.mkdir(exist_ok=True)
    run = {
        "job": 1,
        "kind": "process_dataset",
        "spec": {"datasets": [1], "stages": stages.model_dump(mode="json")},
        "inputs": {"dataset": {"kind": "dataset", "id": 1, "name": "x", "path": str(records), "sha256": "00", "count": count}},
        "run_dir": str(folder),
        "output_dir": str(folder / "output"),
    }
    (folder / "run.json").write_text(json.dumps(run))
    return subprocess.Popen([sys.executable, "-m", "workers.data.processing", str(folder / "run.json")])


def wait_for_state(folder: Path, child: "subprocess.Popen[bytes]", written: bytes) -> None:
    """Until the state file says something; a program that is done first is fine, too."""
    while child.poll() is None:
        state = folder / "work" / "state.json"
        if state.exists() and written in state.read_bytes():
            return
        time.sleep(0.01)


def end(child: "subprocess.Popen[bytes]", number: int) -> bool:
    """Signal the program and wait; whether it was still at work."""
    child.send_signal(number)
    return child.wait(60) in {-signal.SIGKILL, EXIT_STOPPED}

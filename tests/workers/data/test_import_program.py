"""The job `import_dataset` as a process: files, result, errors, cancel."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workers.data.records import dataset_digest, read_records

ROOT = Path(__file__).parents[3]


def run_file(folder: Path, upload: Path, **spec: Any) -> Path:
    content = {
        "job": 1,
        "kind": "import_dataset",
        "spec": {"dataset": 1, "version": 1, "upload": 1, **spec},
        "inputs": {"upload": {"kind": "file", "name": upload.name, "path": str(upload)}},
        "run_dir": str(folder / "run"),
        "output_dir": str(folder / "out"),
    }
    path = folder / "run.json"
    path.write_text(json.dumps(content))
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.data", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]


def test_good_rows_become_a_version_and_bad_ones_a_report(tmp_path: Path) -> None:
    """S6.5; a line that is broken is told with its number, reason and beginning."""
    upload = tmp_path / "a.jsonl"
    upload.write_text('{"text": "Where is the card?", "label": "x"}\nbroken\n{"text": "卡丢了", "label": "y"}\n')
    finished = run(run_file(tmp_path, upload, licence="CC0"))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    records = tmp_path / "out" / "records.jsonl"
    assert result["count"] == len(list(read_records(records))) == 2
    assert result["sha256"] == dataset_digest(records) == hashlib.sha256(records.read_bytes()).hexdigest()
    assert result["bytes"] == records.stat().st_size
    assert result["refused_by_code"] == {"record.broken_json": 1}
    error = json.loads((tmp_path / "out" / "errors.jsonl").read_text())
    assert (error["line"], error["code"], error["head"]) == (2, "record.broken_json", "broken")
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["languages"] == {"en": 1, "zh": 1}
    assert stats["labels"] == {"x": 1, "y": 1}
    assert {event["name"] for event in events(tmp_path) if event["type"] == "artifact"} == {"records", "stats", "errors"}


def test_import_again_gives_the_same_bytes(tmp_path: Path) -> None:
    upload = tmp_path / "a.csv"
    upload.write_text("text,category\nHello,a\nBye,b\n")
    path = run_file(tmp_path, upload)
    assert run(path).returncode == 0
    first = (tmp_path / "out" / "records.jsonl").read_bytes()
    assert run(path).returncode == 0
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == first


def test_file_without_a_good_row_ends_with_one_sentence_and_a_report(tmp_path: Path) -> None:
    upload = tmp_path / "a.jsonl"
    upload.write_text('{"foo": 1}\n{"foo": 2}\n')
    assert run(run_file(tmp_path, upload)).returncode == 2
    error = next(event for event in events(tmp_path) if event["type"] == "error")
    assert error["code"] == "dataset.no_good_record"
    assert "foo" in error["message"]
    assert not (tmp_path / "out" / "records.jsonl").exists()
    assert len((tmp_path / "out" / "errors.jsonl").read_text().splitlines()) == 2


def test_cancelled_import_leaves_no_version(tmp_path: Path) -> None:
    upload = tmp_path / "a.jsonl"
    with upload.open("w") as file:
        for index in range(400_000):
            file.write(f'{{"text": "record number {index}"}}\n')
    process = subprocess.Popen([sys.executable, "-m", "workers.data", str(run_file(tmp_path, upload))], cwd=ROOT)
    while not any(
        event["type"] == "phase" for event in (events(tmp_path) if (tmp_path / "run" / "events.jsonl").exists() else [])
    ):
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    assert not (tmp_path / "out" / "records.jsonl").exists()

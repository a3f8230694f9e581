"""Where a job's files lie."""

from pathlib import Path

from webapp.core import storage


def run_dir(job_id: int) -> Path:
    return storage.folder("runs", str(job_id))


def output_dir(job_id: int) -> Path:
    return storage.folder("runs", str(job_id), "output")


def log_file(job_id: int) -> Path:
    return run_dir(job_id) / "log.txt"


def events_file(job_id: int) -> Path:
    return run_dir(job_id) / "events.jsonl"

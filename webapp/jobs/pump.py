"""From the program's `events.jsonl` into rows, in batches, exactly once: the byte offset moves in the same transaction."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from webapp.core.events import publish
from webapp.jobs import paths
from webapp.jobs.models import Artifact, Job, JobEvent, MetricPoint

READ_LIMIT = 1 << 20
NOTICE_POINTS = 40
KEPT_EVENTS = {"phase", "sample", "warning", "error", "checkpoint", "stopped", "result"}


def pump(job: Job) -> int:
    """Record what is new; returns how many events. Lines that are not whole yet wait for the next call."""
    path = paths.events_file(job.pk)
    try:
        with path.open("rb") as file:
            file.seek(job.event_offset)
            block = file.read(READ_LIMIT)
    except FileNotFoundError:
        return 0
    whole = block.rfind(b"\n") + 1
    if not whole:
        return 0
    events = [event for line in block[:whole].splitlines() if (event := _parse(line)) and event["seq"] > job.event_seq]
    if job.losses and _gets_further(job, events):
        job.losses = 0
    with transaction.atomic():
        _record(job, events)
        job.event_offset += whole
        job.save(update_fields=[*_progress_fields(job, events), "event_offset"])
    if events:
        _announce(job, events)
    return len(events)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("seq"), int) else None


def _gets_further(job: Job, events: Iterable[dict[str, Any]]) -> bool:
    """Whether a step is reached that no earlier attempt reached; what a program repeats before it dies again does not count."""
    steps = [event["step"] for event in events if event["type"] == "metric"]
    known = MetricPoint.objects.filter(job=job).aggregate(last=Max("step"))["last"]
    if known is not None or steps:
        return max(steps, default=-1) > (-1 if known is None else known)
    return any(event["type"] == "progress" and float(event["done"] or 0) > job.progress_done for event in events)


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["t"], tz=UTC)


def _record(job: Job, events: Iterable[dict[str, Any]]) -> None:
    points: dict[tuple[str, int], MetricPoint] = {}
    kept: list[JobEvent] = []
    for event in events:
        if event["type"] == "metric":
            for name, value in event["values"].items():
                points[name, event["step"]] = MetricPoint(
                    job=job, name=name[:40], step=event["step"], value=value, at=_time(event)
                )
        elif event["type"] == "artifact":
            details = {key: value for key, value in event.items() if key not in {"seq", "t", "type", "name", "path"}}
            Artifact.objects.update_or_create(
                job=job, name=event["name"][:120], defaults={"path": event["path"], "details": details}
            )
        elif event["type"] in KEPT_EVENTS:
            data = {key: value for key, value in event.items() if key not in {"seq", "t", "type"}}
            kept.append(JobEvent(job=job, seq=event["seq"], type=event["type"], at=_time(event), data=data))
    JobEvent.objects.bulk_create(kept, ignore_conflicts=True)
    MetricPoint.objects.bulk_create(
        points.values(),
        update_conflicts=True,
        unique_fields=["job", "name", "step"],
        update_fields=["value", "at"],
        batch_size=200,
    )


def _progress_fields(job: Job, events: list[dict[str, Any]]) -> list[str]:
    """Copy the newest progress, phase and error onto the job; returns the fields that may have changed."""
    for event in events:
        job.event_seq = event["seq"]
        if event["type"] == "progress":
            job.progress_done, job.progress_total = float(event["done"] or 0), float(event["total"] or 0)
            job.progress_unit, job.eta_seconds = str(event.get("unit") or "")[:20], event.get("eta_seconds")
        elif event["type"] == "phase":
            job.phase = str(event["name"])[:40]
        elif event["type"] == "error":
            job.error_code = str(event["code"])[:80]
            job.error_template, job.error_params = str(event["template"]), event.get("params") or {}
        elif event["type"] == "result":
            job.result = event["result"]
    return [
        "event_seq", "progress_done", "progress_total", "progress_unit", "eta_seconds", "losses",
        "phase", "error_code", "error_template", "error_params", "result",
    ]  # fmt: skip


def _announce(job: Job, events: list[dict[str, Any]]) -> None:
    points = [[event["step"], event["values"], event["t"]] for event in events if event["type"] == "metric"]
    publish(
        f"job.{job.pk}",
        state=job.state,
        seq=job.event_seq,
        phase=job.phase,
        progress=job.progress,
        eta_seconds=job.eta_seconds,
        points=points[-NOTICE_POINTS:],
    )

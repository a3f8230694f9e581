"""From the program's samples.jsonl and result into rows: in chunks, repeatable after a kill in the middle."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.evals.comparing import pack_scores
from webapp.evals.models import Evaluation, EvaluationState, Sample
from webapp.jobs import paths
from webapp.jobs.models import Job

CHUNK = 500
COLUMNS = {"position", "record_id", "correct", "score"}


def evaluation_of(job: Job) -> Evaluation:
    """The row that the job fills; a clone of a job fills a row of its own."""
    named = Evaluation.objects.filter(pk=job.spec["evaluation"], workspace=job.workspace_id).first()
    if named is not None and named.job_id in {None, job.pk}:
        return named
    if named is None and not Evaluation.objects.filter(job=job).exists():
        raise UserError("evaluation.gone", "The evaluation has been deleted while it ran; start it again.")
    template: Any = named or Evaluation.objects.get(job=job)
    own, _created = Evaluation.objects.get_or_create(
        job=job,
        defaults={
            "workspace_id": job.workspace_id,
            "suite_id": template.suite_id,
            "model_id": template.model_id,
            "created_by": job.created_by,
        },
    )
    return own


def store_results(job: Job) -> None:
    """Samples first, then the scores: a reader who sees `done` finds everything."""
    evaluation = evaluation_of(job)
    result = job.result or {}
    scores: dict[int, float] = {}
    for entries in _chunks(job):
        rows = [_row(evaluation, entry) for entry in entries]
        Sample.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["evaluation", "position"],
            update_fields=["key", "correct", "score", "data"],
        )
        scores |= {row.position: row.score for row in rows}
    Evaluation.objects.filter(pk=evaluation.pk).update(
        state=EvaluationState.DONE,
        score=result["score"],
        low=result["interval"][0],
        high=result["interval"][1],
        count=result["n"],
        correct=result["correct"],
        seconds=result["seconds"],
        summary=result,
        scores=pack_scores(scores),
        error={},
    )
    publish(f"workspace.{job.workspace_id}", evaluation=evaluation.pk, state=EvaluationState.DONE)


def _chunks(job: Job) -> Iterator[list[dict[str, Any]]]:
    samples = read_samples(paths.output_dir(job.pk) / "samples.jsonl")
    while chunk := list(itertools.islice(samples, CHUNK)):
        yield chunk


def read_samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def _row(evaluation: Evaluation, entry: dict[str, Any]) -> Sample:
    return Sample(
        evaluation=evaluation,
        position=int(entry["position"]),
        key=str(entry.get("record_id", entry["position"]))[:120],
        correct=bool(entry["correct"]),
        score=float(entry.get("score", entry["correct"])),
        data={key: value for key, value in entry.items() if key not in COLUMNS},
    )


def store_failure(job: Job) -> None:
    """The job failed or was cancelled."""
    error = {"code": job.error_code, "template": job.error_template, "params": job.error_params} if job.error_code else {}
    rows = Evaluation.objects.filter(pk=job.spec["evaluation"], job=job).exclude(state=EvaluationState.DONE)
    if rows.update(state=EvaluationState.FAILED, error=error):
        publish(f"workspace.{job.workspace_id}", evaluation=job.spec["evaluation"], state=EvaluationState.FAILED)

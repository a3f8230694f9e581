"""What models propose: many predictions a task, each tagged with the model's version, and what people make of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, IntegerField, OuterRef, Subquery
from django.db.models.functions import Cast, Round

from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import UserError
from webapp.datasets.words import clean
from webapp.labeling.access import access_project
from webapp.labeling.learning.effort import TURN_DOWN, keys_for
from webapp.labeling.models import Annotation, Contribution, Help, LabelProject, Prediction, PredictionSource, Task
from webapp.labeling.schema import checked_value

MOST_SHOWN = 5
CHUNK = 1000
PRIORITY_RANGE = 1_000_000
"""Uncertainty 0 to 1 becomes a priority from 0 to this."""


@dataclass(frozen=True)
class Proposed:
    """One prediction that is to be stored: the task by its id or by its record's key."""

    value: list[dict[str, Any]]
    score: float | None = None
    task: int | None = None
    key: str | None = None
    ranked: dict[str, list[str]] | None = None


def predictions_for(project: LabelProject, task: Task) -> list[Prediction]:
    """The newest predictions of a task."""
    if not project.has_predictions:
        return []
    found = Prediction.objects.filter(task=task).select_related("source").order_by("-pk")
    return list(found[:MOST_SHOWN])


def note_help(project: LabelProject, stored: Annotation, prediction: int | None) -> None:
    """Tell accepted, edited and rejected apart by comparing with what the models said."""
    if stored.skipped or not project.has_predictions:
        return
    shown = {one.pk: one for one in Prediction.objects.filter(task_id=stored.task_id).select_related("source")}
    if not shown:
        return
    used = shown.get(prediction) if prediction is not None else None
    if used is None:
        used, help_ = max(shown.values(), key=lambda one: one.pk), Help.REJECTED
    else:
        help_ = Help.ACCEPTED if used.value == stored.value else Help.EDITED
    stored.prediction, stored.help = used, help_
    Annotation.objects.filter(pk=stored.pk).update(prediction=used, help=help_)
    if stored.revision == 1:
        data = stored.task.data
        without = keys_for(project.schema, data, stored.value)
        begun = None if help_ == Help.REJECTED else used.value
        keys = keys_for(project.schema, data, stored.value, begun, None if help_ == Help.REJECTED else used.ranked)
        PredictionSource.objects.filter(pk=used.source_id).update(
            **{help_.value: F(help_.value) + 1},
            keys_without=F("keys_without") + without,
            keys_with=F("keys_with") + keys + (TURN_DOWN if help_ == Help.REJECTED else 0),
        )


def add_predictions(*, user: User, project_id: int, model: str, predictions: Iterable[Proposed]) -> tuple[int, list[str]]:
    """Store what a model proposes; a task has one prediction of each model version, the newest.

    Returns how many were stored and the sentences about those that do not fit the questions (the first hundred).
    """
    project = access_project(user, project_id, role=Role.MANAGER)
    stored, refused = store_predictions(project, model, predictions)
    record_audit(
        actor=user, workspace=project.workspace, action="label_project.predict", subject=project.name, model=model, count=stored
    )
    return stored, refused


def store_predictions(project: LabelProject, model: str, predictions: Iterable[Proposed]) -> tuple[int, list[str]]:
    name = " ".join(clean(model).split())[:120]
    if not name:
        raise UserError("label.no_model_name", "Say which version of which model made the predictions.", status=422)
    source, _ = PredictionSource.objects.get_or_create(project=project, name=name)
    stored = 0
    refused: list[str] = []
    waiting: list[Proposed] = []
    for proposed in predictions:
        waiting.append(proposed)
        if len(waiting) == CHUNK:
            stored += _store_chunk(project, source, waiting, refused)
            waiting = []
    stored += _store_chunk(project, source, waiting, refused)
    LabelProject.objects.filter(pk=project.pk, has_predictions=False).update(has_predictions=True)
    PredictionSource.objects.filter(pk=source.pk).update(made=Prediction.objects.filter(source=source).count())
    return stored, refused


def _store_chunk(project: LabelProject, source: PredictionSource, chunk: list[Proposed], refused: list[str]) -> int:
    tasks = Task.objects.filter(project=project)
    by_id = tasks.in_bulk([one.task for one in chunk if one.task is not None])
    by_key = {task.key: task for task in tasks.filter(key__in=[one.key for one in chunk if one.task is None and one.key])}
    rows = {}
    for one in chunk:
        task = by_id.get(one.task) if one.task is not None else by_key.get(one.key or "")
        if task is None or task.project_id != project.pk:
            _refuse(refused, f"{one.task or one.key}: ?")
            continue
        try:
            value = checked_value(_lenient(project.schema), one.value, task.data)
        except UserError as error:
            _refuse(refused, f"{task.key}: {error.message}")
            continue
        score = None if one.score is None else max(0.0, min(1.0, one.score))
        rows[task.pk] = Prediction(task=task, source=source, value=value, score=score, ranked=one.ranked)
    with transaction.atomic():
        Prediction.objects.filter(source=source, task__in=rows).delete()
        Prediction.objects.bulk_create(rows.values())
    return len(rows)


def _refuse(refused: list[str], sentence: str) -> None:
    if len(refused) < 100:
        refused.append(sentence)


def _lenient(schema: dict[str, Any]) -> dict[str, Any]:
    """A model need not answer everything."""
    return {"fields": [{**field, "required": False} for field in schema["fields"]]}


def order_by_uncertainty(*, user: User, project_id: int) -> int:
    """Give the tasks about which the newest model is least sure the highest priority. Returns how many were placed."""
    project = access_project(user, project_id, role=Role.MANAGER)
    placed = reorder(project)
    record_audit(actor=user, workspace=project.workspace, action="label_project.reorder", subject=project.name, count=placed)
    return placed


def reorder(project: LabelProject) -> int:
    """Priorities follow the scores of the newest source; everybody begins again at the front."""
    source = PredictionSource.objects.filter(project=project).order_by("-pk").first()
    if source is None:
        raise UserError("label.no_predictions", "No model has proposed anything here yet; let one do so first.", status=409)
    placed = 0
    scored = Prediction.objects.filter(source=source, score__isnull=False, task__open_slots__gt=0)
    doubt = Prediction.objects.filter(source=source, task=OuterRef("pk")).values(
        doubt=Cast(Round((1.0 - F("score")) * PRIORITY_RANGE), IntegerField())
    )[:1]
    first = 0
    while ids := list(scored.filter(task__gte=first).order_by("task").values_list("task", flat=True)[:CHUNK]):
        placed += Task.objects.filter(pk__in=ids).update(priority=Subquery(doubt))
        first = ids[-1] + 1
    Contribution.objects.filter(project=project).update(cursor_priority=None, cursor_position=None)
    return placed

"""Annotations as JSON lines or CSV, and as a new dataset version that training can use."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast
from django.http import HttpResponseBase
from django.utils.text import slugify

from webapp.accounts.models import Role, User
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.streaming import stream
from webapp.datasets.exports import CONTENT_TYPES, csv_line, gather
from webapp.datasets.models import DatasetVersion
from webapp.datasets.services import get_or_create_dataset
from webapp.datasets.storing import create_version_from_source
from webapp.datasets.words import record_text
from webapp.labeling.access import access_project
from webapp.labeling.models import Annotation, LabelProject
from webapp.labeling.outcomes import labelled_records
from workers.spec.record import Record

CHUNK = 2000
FIRST_CHUNK = 100
"""Rows that are read before the first byte goes out."""
NAMES = (
    "id", "task", "key", "position", "annotator", "revision", "value", "skipped", "surplus", "review", "is_gold", "score",
    "help", "lead_time_ms", "submitted_at",
)  # fmt: skip
COLUMNS = (
    "pk", "task_id", "task__key", "task__position", "user__username", "revision", "value", "skipped", "surplus", "review",
    "is_gold", "score", "help", "lead_time_ms", "submitted_at",
)  # fmt: skip
FORMATS = ("jsonl", "csv")
SOURCE = "label_project"


def export_annotations(*, user: User, project_id: int, format: str = "jsonl") -> HttpResponseBase:
    """Every current annotation, skipped and surplus ones marked, streamed in the order in which they were submitted."""
    project = access_project(user, project_id, role=Role.REVIEWER)
    if format not in FORMATS:
        raise UserError(
            "export.unknown_format", "«{format}» is no export format; choose one of {known}.",
            status=422, format=format, known=", ".join(FORMATS),
        )  # fmt: skip
    name = f"{slugify(project.name, allow_unicode=True) or f'label-project-{project.pk}'}-annotations.{format}"
    pieces = _json_lines(project) if format == "jsonl" else _table(project)
    begin = b"".join(itertools.islice(pieces, FIRST_CHUNK))
    return stream(itertools.chain([begin], gather(pieces)), name=name, content_type=CONTENT_TYPES[f".{format}"])


def exported_rows(project: LabelProject) -> Iterator[tuple[dict[str, Any], str]]:
    """(row, JSON text of the record) of each annotation.

    Read in portions by id: no cursor stays open while a slow reader downloads. The record is handed on as the database has
    it, because taking it apart and putting it together again would be most of the work.
    """
    last, size = 0, FIRST_CHUNK
    found = Annotation.objects.filter(project=project, is_current=True).annotate(data=Cast("task__data", TextField()))
    rows = found.order_by("pk").values_list(*COLUMNS, "data")
    while chunk := list(rows.filter(pk__gt=last)[:size]):
        for *values, data in chunk:
            row = dict(zip(NAMES, values, strict=True))
            row["position"] += 1
            row["submitted_at"] = row["submitted_at"].isoformat()
            yield row, data
        last, size = chunk[-1][0], CHUNK


def annotation_row(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.pk,
        "task": annotation.task_id,
        "key": annotation.task.key,
        "position": annotation.task.position + 1,
        "annotator": annotation.user.username if annotation.user else None,
        "revision": annotation.revision,
        "value": annotation.value,
        "skipped": annotation.skipped,
        "surplus": annotation.surplus,
        "review": annotation.review,
        "is_gold": annotation.is_gold,
        "score": annotation.score,
        "help": annotation.help,
        "lead_time_ms": annotation.lead_time_ms,
        "submitted_at": annotation.submitted_at.isoformat(),
    }


def _json_lines(project: LabelProject) -> Iterator[bytes]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for row, data in exported_rows(project):
        record = encode(json.loads(data)) if "\\u" in data else data
        yield f'{encode(row)[:-1]}, "data": {record}}}\n'.encode()


def _table(project: LabelProject) -> Iterator[bytes]:
    names = [field["name"] for field in project.schema["fields"]]
    plain = [name for name in NAMES if name not in {"value", "is_gold", "score", "help"}]
    yield csv_line([*plain, "text", *names], mark=True)
    for row, data in exported_rows(project):
        answers = {answer["q"]: answer["value"] for answer in row["value"]}
        cells = [*(row[name] for name in plain), record_text(json.loads(data)), *(answers.get(name) for name in names)]
        yield csv_line([_cell(cell) for cell in cells])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def create_labelled_version(
    *, user: User, project_id: int, dataset_name: str = "", held_out: int = 0, note: Mapping[str, Any] | None = None
) -> DatasetVersion:
    """The answered records as a new immutable version, descended from the version that was labelled.

    `held_out` percent of them, always the same ones, are left out; `note` is kept in its recipe.
    It goes into the dataset of this name, made when missing: by default «<project> · labels». A large one is made by a job.
    """
    project = access_project(user, project_id, role=Role.MANAGER)
    if not project.annotation_count:
        raise UserError("label.nothing_labelled", "Nobody has labelled anything in “{name}” yet.", status=409, name=project.name)
    storage.require_space(3 * project.version.bytes)
    name = dataset_name or f"{project.name[:110]} · labels"
    dataset = get_or_create_dataset(user=user, workspace=project.workspace, name=name)
    return create_version_from_source(
        user=user,
        dataset_id=dataset.pk,
        source=SOURCE,
        parameters={"project": project.pk, "held_out": held_out},
        expected=project.annotation_count,
        origin=project.name,
        parent=project.version,
        recipe={"label_project": project.pk, "annotations": project.annotation_count, **(note or {})},
    )


def source_records(parameters: Mapping[str, Any]) -> Iterable[Record]:
    """The labelled records of a project, for the job that stores them."""
    project = LabelProject.objects.filter(pk=parameters["project"]).first()
    return labelled_records(project, held_out=int(parameters.get("held_out", 0))) if project else ()

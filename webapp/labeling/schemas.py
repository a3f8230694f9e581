"""What the API of labelling takes and gives."""

from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import Field

from webapp.datasets.schemas import In, VersionOut
from webapp.labeling.exports import annotation_row
from webapp.labeling.flow import Flow
from webapp.labeling.models import Annotation, LabelProject, Task


class ProjectIn(In):
    """The questions come as a `schema`, or from a `preset` with `labels`."""

    version: int
    name: str
    questions: dict[str, Any] | None = Field(None, alias="schema")
    preset: str | None = None
    labels: list[str] = Field(default_factory=list)
    propose: bool = False
    instructions: str = ""
    overlap: int = 1
    limit: int | None = None
    flow: dict[str, Any] | None = Field(None, description="overlap_mode, agreement_target, review_share, gold_share, … (`Flow`)")


class PresetOut(Schema):
    """`schema`: what the preset asks about the records of this version; `null` where labels must be typed first."""

    name: str
    title: str
    description: str
    icon: str
    takes_labels: bool
    fits: str
    questions: dict[str, Any] | None = Field(serialization_alias="schema")


class ProjectPatch(In):
    name: str | None = None
    instructions: str | None = None
    is_open: bool | None = None
    flow: dict[str, Any] | None = None


class ProjectOut(Schema):
    id: int
    name: str
    version: int
    instructions: str
    questions: dict[str, Any] = Field(serialization_alias="schema")
    overlap: int
    flow: Flow
    is_open: bool
    total: int
    created: int = Field(description="tasks made so far; grows to `total` after a large project was started")
    done: int
    annotations: int
    skipped: int
    created_at: datetime

    @classmethod
    def of(cls, project: LabelProject) -> "ProjectOut":
        return cls(
            id=project.pk,
            name=project.name,
            version=project.version_id,
            instructions=project.instructions,
            questions=project.schema,
            overlap=project.overlap,
            flow=Flow.of(project),
            is_open=project.is_open,
            total=project.task_total,
            created=project.task_count,
            done=project.done_count,
            annotations=project.annotation_count,
            skipped=project.skip_count,
            created_at=project.created_at,
        )


class TaskOut(Schema):
    id: int
    position: int
    key: str
    data: dict[str, Any]
    open_slots: int

    @classmethod
    def of(cls, task: Task) -> "TaskOut":
        return cls(id=task.pk, position=task.position + 1, key=task.key, data=task.data, open_slots=task.open_slots)


class SubmitIn(In):
    value: list[dict[str, Any]] = Field(default_factory=list)
    key: str = Field(description="new for each submit; repeating it is harmless")
    skipped: bool = False
    lead_time_ms: int | None = None
    prediction: int | None = Field(None, description="the prediction that the answer began with; null: none was wanted")
    revision: int | None = Field(None, description="the revision that was corrected; 409 when it is no longer the newest")


class SkipIn(In):
    key: str = ""


class DraftIn(In):
    value: Any = None


class VersionIn(In):
    dataset_name: str = ""


class AnnotationOut(Schema):
    id: int
    task: int
    key: str
    position: int
    annotator: str | None
    revision: int
    value: list[dict[str, Any]]
    skipped: bool
    surplus: bool
    review: str
    help: str
    lead_time_ms: int | None
    submitted_at: datetime

    @classmethod
    def of(cls, annotation: Annotation) -> "AnnotationOut":
        return cls.model_validate(annotation_row(annotation))


class SubmitOut(Schema):
    """`next`: the answer of `next`, so that one exchange brings the next task."""

    annotation: AnnotationOut
    next: dict[str, Any]


class ProjectList(Schema):
    items: list[ProjectOut]
    next_cursor: str | None


class TaskList(Schema):
    items: list[TaskOut]
    next_cursor: str | None


class AnnotationList(Schema):
    items: list[AnnotationOut]
    next_cursor: str | None


LabelledVersionOut = VersionOut

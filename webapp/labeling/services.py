"""Label projects: made from a dataset version, their tasks filled in portions, changed, closed, deleted."""

import time
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import NotFound, UserError
from webapp.core.events import publish
from webapp.datasets.access import access_version
from webapp.datasets.files import version_path
from webapp.datasets.models import RecordRow
from webapp.datasets.words import clean
from webapp.labeling.access import access_project
from webapp.labeling.flow import changed_flow, checked_flow
from webapp.labeling.models import (
    Adjudication,
    AgreementCount,
    Annotation,
    Assignment,
    Draft,
    LabelProject,
    OverlapMode,
    Review,
    Task,
    TaskLease,
)
from webapp.labeling.schema import checked_schema
from webapp.labeling.webhooks import tell

CHUNK_TASKS = 2000
SECONDS_IN_REQUEST = 0.5
"""What a request spends on making tasks; a worker's duty makes the rest while the first ones are labelled already."""
DELETED_ROWS = 5000


def create_project(
    *,
    user: User,
    slug: str,
    version_id: int,
    name: str,
    schema: Any,
    instructions: str = "",
    overlap: int = 1,
    limit: int | None = None,
    flow: dict[str, Any] | None = None,
) -> LabelProject:
    """A project over the records of a version (the first `limit` of them), each to be labelled by `overlap` people.

    `flow`: more about how it is worked on, see `flow.Flow`.
    """
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    version = access_version(user, version_id)
    if version.dataset.workspace_id != workspace.pk:
        raise NotFound
    version_path(version)
    name = _checked_name(name)
    settings = checked_flow({"overlap": overlap, **(flow or {})})
    if limit is not None and limit < 1:
        raise UserError("label.no_tasks", "A project needs at least one task; choose a higher number.", status=422)
    values = {
        "version": version,
        "schema": checked_schema(schema),
        "instructions": clean(instructions).strip(),
        **settings.model_dump(),
        "task_total": min(limit or version.count, version.count),
        "created_by": user,
    }
    try:
        with transaction.atomic():
            project = LabelProject.objects.create(workspace=workspace, name=name, **values)
    except IntegrityError as error:
        raise _name_taken(name) from error
    record_audit(actor=user, workspace=workspace, action="label_project.create", subject=name)
    fill_tasks(project, seconds=SECONDS_IN_REQUEST)
    return project


def _checked_name(name: str) -> str:
    name = " ".join(clean(name).split())
    if not name:
        raise UserError("label.no_name", "The project has no name; give it one.", status=422)
    if len(name) > 120:
        raise UserError("label.long_name", "The name is longer than 120 characters; shorten it.", status=422)
    return name


def _name_taken(name: str) -> UserError:
    return UserError(
        "label.name_taken", "There is already a label project “{name}” here; choose another name.", status=409, name=name
    )


def fill_tasks(project: LabelProject, *, seconds: float) -> None:
    """Make tasks, CHUNK_TASKS a transaction, until all are there or the time is up. May run twice at once, may be killed."""
    deadline = time.monotonic() + seconds
    while project.task_count < project.task_total:
        if not _fill_chunk(project):
            project.refresh_from_db()
            continue
        if time.monotonic() > deadline:
            break


def _fill_chunk(project: LabelProject) -> bool:
    """The next portion; False when somebody else made it. Rows are copied inside the database: no Python object is made."""
    start, end = project.task_count, min(project.task_count + CHUNK_TASKS, project.task_total)
    # 37 has no common factor with 100, so every hundred tasks in a row hold exactly the share.
    share = project.overlap_share if project.overlap_mode == OverlapMode.SHARE else 100
    statement = (
        f"INSERT INTO {_quoted(Task)} (project_id, position, priority, key, data, open_slots) "  # noqa: S608 - our own table names
        f"SELECT %s, position, 0, key, data, CASE WHEN (position * 37) %% 100 < %s THEN %s ELSE 1 END FROM {_quoted(RecordRow)} "
        "WHERE version_id = %s AND position >= %s AND position < %s"
    )
    with transaction.atomic():
        if not LabelProject.objects.filter(pk=project.pk, task_count=start).update(task_count=end):
            return False
        with connection.cursor() as cursor:
            cursor.execute(statement, [project.pk, share, project.overlap, project.version_id, start, end])
    project.task_count = end
    return True


def _quoted(model: type[Task] | type[RecordRow]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def fill_open_projects() -> None:
    """A duty: go on with projects whose tasks were not all made in the request."""
    for project in LabelProject.objects.filter(task_count__lt=F("task_total")).order_by("pk"):
        fill_tasks(project, seconds=20)
        publish(f"workspace.{project.workspace_id}", label_project=project.pk)


def update_project(
    *,
    user: User,
    project_id: int,
    name: str | None = None,
    instructions: str | None = None,
    is_open: bool | None = None,
    flow: dict[str, Any] | None = None,
) -> LabelProject:
    project = access_project(user, project_id, role=Role.MANAGER)
    changes: dict[str, Any] = changed_flow(project, flow) if flow else {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if instructions is not None:
        changes["instructions"] = clean(instructions).strip()
    if is_open is not None:
        changes["is_open"] = is_open
    try:
        with transaction.atomic():
            LabelProject.objects.filter(pk=project.pk).update(**changes)
    except IntegrityError as error:
        raise _name_taken(changes["name"]) from error
    record_audit(actor=user, workspace=project.workspace, action="label_project.update", subject=project.name, **changes)
    tell(project, "project.updated", {"changes": changes})
    project.refresh_from_db()
    return project


def add_choice(*, user: User, project_id: int, field: str, value: str) -> LabelProject:
    """A label that turned up while working. Choices are only ever added: what was submitted stays valid."""
    project = access_project(user, project_id, role=Role.MANAGER)
    with transaction.atomic():
        locked = LabelProject.objects.select_for_update().get(pk=project.pk)
        schema = {"fields": [dict(each) for each in locked.schema["fields"]]}
        target = next((each for each in schema["fields"] if each["name"] == field and each["type"] == "choice"), None)
        if target is None:
            raise NotFound
        target["choices"] = [*target["choices"], {"value": value.strip()}]
        locked.schema = checked_schema(schema)
        locked.save(update_fields=["schema"])
    record_audit(actor=user, workspace=project.workspace, action="label_project.add_choice", subject=project.name, value=value)
    return locked


def delete_project(*, user: User, project_id: int) -> None:
    """Remove a project with its tasks and annotations, in portions. Versions made from it stay."""
    project = access_project(user, project_id, role=Role.MANAGER)
    LabelProject.objects.filter(pk=project.pk).update(is_open=False, task_total=F("task_count"))
    for model in (Draft, TaskLease, Assignment, Review, Adjudication, AgreementCount, Annotation, Task):
        path = "task__project" if model in (Draft, TaskLease) else "project"
        rows = model._default_manager.filter(**{path: project})
        while chunk := list(rows.values_list("pk", flat=True)[:DELETED_ROWS]):
            model._default_manager.filter(pk__in=chunk).delete()
    project.delete()
    record_audit(actor=user, workspace=project.workspace, action="label_project.delete", subject=project.name)

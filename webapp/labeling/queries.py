"""Reads of lists and pages of label projects; figures come from counters, never from counting tasks."""

from typing import Any

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.paging import Page, paginate
from webapp.labeling.access import access_project, role_in, sees_everybody
from webapp.labeling.models import Annotation, Contribution, LabelProject, Task

RECENT = 20


def list_projects(*, user: User, slug: str, cursor: str | None = None, limit: int = 50) -> Page[LabelProject]:
    workspace = access_workspace(user, slug)
    projects = LabelProject.objects.filter(workspace=workspace).select_related("version__dataset")
    return paginate(projects, cursor=cursor, limit=limit)


def list_tasks(*, user: User, project_id: int, cursor: str | None = None, limit: int = 50) -> Page[Task]:
    project = access_project(user, project_id)
    return paginate(Task.objects.filter(project=project), cursor=cursor, limit=limit, order="position")


def list_annotations(*, user: User, project_id: int, cursor: str | None = None, limit: int = 50) -> Page[Annotation]:
    """Current annotations, the newest first. Annotators see their own only."""
    project = access_project(user, project_id)
    found = Annotation.objects.filter(project=project, is_current=True).select_related("task", "user")
    if not sees_everybody(role_in(user, project)):
        found = found.filter(user=user)
    return paginate(found, cursor=cursor, limit=limit)


def contributions(project: LabelProject, *, only: User | None = None) -> list[dict[str, Any]]:
    """Who did how much, the most active first; `only` one person's line for blind annotators."""
    rows = Contribution.objects.filter(project=project).select_related("user").order_by("-submitted", "pk")
    if only:
        rows = rows.filter(user=only)
    return [
        {
            "name": str(row.user),
            "submitted": row.submitted,
            "skipped": row.skipped,
            "seconds_per_task": row.lead_time_ms / 1000 / row.submitted if row.submitted and row.lead_time_ms else None,
            "last_at": row.last_at,
        }
        for row in rows
        if row.submitted or row.skipped
    ]


def label_distribution(project: LabelProject) -> dict[str, dict[str, int]]:
    """Question → choice → how often, in the order of the schema."""
    counts = {(row.field, row.value): row.count for row in project.label_counts.filter(count__gt=0)}
    return {
        field["name"]: {choice["value"]: counts.get((field["name"], choice["value"]), 0) for choice in field.get("choices", [])}
        for field in project.schema["fields"]
        if field["type"] == "choice"
    }

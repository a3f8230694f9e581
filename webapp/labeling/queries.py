"""Reads of lists and pages of label projects; figures come from counters, never from counting tasks."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q

from webapp.accounts.access import access_workspace, may
from webapp.accounts.models import Role, User
from webapp.core.paging import Page, paginate
from webapp.labeling.access import access_project, role_in, sees_everybody
from webapp.labeling.models import Annotation, Contribution, LabelProject, ProjectMember, Task
from webapp.labeling.wording import in_short

COUNTED = ("choice", "tree", "rating", "pairwise", "spans", "relations", "regions", "segments", "frames", "trace")
"""Types whose labels are counted."""


@dataclass(frozen=True)
class Recent:
    """`role`: what the person who looks is in the project."""

    role: str
    items: list[Annotation]


def list_projects(*, user: User, slug: str, cursor: str | None = None, limit: int = 50) -> Page[LabelProject]:
    workspace = access_workspace(user, slug)
    projects = LabelProject.objects.filter(workspace=workspace).select_related("version__dataset")
    if not may(user, workspace, Role.MANAGER):
        mine = ProjectMember.objects.filter(project=OuterRef("pk"), user=user)
        projects = projects.filter(Q(members_only=False) | Exists(mine))
    return paginate(projects, cursor=cursor, limit=limit)


def list_tasks(*, user: User, project_id: int, cursor: str | None = None, limit: int = 50) -> Page[Task]:
    project = access_project(user, project_id)
    return paginate(Task.objects.filter(project=project), cursor=cursor, limit=limit, order="position")


def list_annotations(*, user: User, project_id: int, cursor: str | None = None, limit: int = 50) -> Page[Annotation]:
    """Current annotations, the newest first. Annotators see their own only."""
    project = access_project(user, project_id)
    found = Annotation.objects.filter(project=project, is_current=True).select_related("task", "user")
    if not sees_everybody(role_in(user, project), project):
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


def recent_annotations(project: LabelProject, user: User, limit: int) -> Recent:
    """What was submitted last, as far as this person may see it."""
    role = role_in(user, project)
    found = Annotation.objects.filter(project=project, is_current=True).select_related("task", "user").order_by("-pk")
    if not sees_everybody(role, project):
        found = found.filter(user=user)
    shown = list(found[:limit])
    for annotation in shown:
        annotation.in_short = in_short(annotation.value)  # type: ignore[attr-defined]
    return Recent(role, shown)


def label_distribution(project: LabelProject) -> dict[str, dict[str, int]]:
    """Question → choice or label → how often, in the order of the schema."""
    counts: dict[str, dict[str, int]] = {field["name"]: {} for field in project.schema["fields"] if field["type"] in COUNTED}
    for field in project.schema["fields"]:
        for choice in field.get("choices", []):
            counts[field["name"]][choice["value"]] = 0
    for row in project.label_counts.filter(count__gt=0).order_by("-count", "pk"):
        if row.field in counts:
            counts[row.field][row.value] = row.count
    return counts

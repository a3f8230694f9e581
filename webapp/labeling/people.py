"""People of a project: roles of their own, tasks reserved for them."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from webapp.accounts.models import Membership, Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import NotFound, UserError
from webapp.labeling.access import access_project
from webapp.labeling.models import Annotation, Assignment, Contribution, LabelProject, ProjectMember, Task
from webapp.labeling.work.counting import change_slots

GIVEN_ROLES = (Role.MANAGER, Role.REVIEWER, Role.ANNOTATOR, Role.VIEWER)
MOST_ASSIGNED = 10_000
CHUNK = 500


def set_role(*, user: User, project_id: int, person: int, role: str) -> None:
    """Give somebody of the workspace a role in this project; an empty one takes it away again."""
    project = access_project(user, project_id, role=Role.MANAGER)
    member = _member(project, person)
    if role and role not in GIVEN_ROLES:
        raise UserError("label.bad_role", "There is no role “{role}” in a project.", status=422, role=role[:20])
    if role:
        ProjectMember.objects.update_or_create(project=project, user=member.user, defaults={"role": role})
    else:
        ProjectMember.objects.filter(project=project, user=member.user).delete()
    record_audit(
        actor=user, workspace=project.workspace, action="label_project.role", subject=project.name,
        person=member.user.username, role=role,
    )  # fmt: skip


def _member(project: LabelProject, person: int) -> Membership:
    found = Membership.objects.select_related("user").filter(workspace=project.workspace_id, user_id=person).first()
    if found is None:
        raise NotFound
    return found


def list_people(*, user: User, project_id: int) -> list[dict[str, Any]]:
    """Everybody in the workspace with the role here, what they did, and how it was judged."""
    project = access_project(user, project_id, role=Role.REVIEWER)
    given = dict(ProjectMember.objects.filter(project=project).values_list("user_id", "role"))
    done = {row.user_id: row for row in Contribution.objects.filter(project=project)}
    waiting = Assignment.objects.filter(project=project, is_done=False).order_by().values_list("user_id", flat=True)
    assigned: dict[int, int] = {}
    for person in waiting[:MOST_ASSIGNED]:
        assigned[person] = assigned.get(person, 0) + 1
    members = Membership.objects.filter(workspace=project.workspace_id).select_related("user").order_by("user__username")
    return [
        {
            "id": member.user_id,
            "name": str(member.user),
            "workspace_role": member.role,
            "workspace_role_label": member.get_role_display(),
            "role": given.get(member.user_id, ""),
            "is_fixed": Role.rank(member.role) >= Role.rank(Role.MANAGER),
            "assigned": assigned.get(member.user_id, 0),
            "work": done.get(member.user_id),
            "gold_score": _gold_score(done.get(member.user_id)),
        }
        for member in members
    ]


def _gold_score(work: Contribution | None) -> float | None:
    return work.gold_points / work.gold_answered if work and work.gold_answered else None


def assign(*, user: User, project_id: int, person: int, count: int | None = None, tasks: Sequence[int] | None = None) -> int:
    """Reserve tasks for somebody: those named, or the next `count` open ones that nobody has. Returns how many."""
    project = access_project(user, project_id, role=Role.MANAGER)
    member = _member(project, person)
    answered = Annotation.objects.filter(task=OuterRef("pk"), user=member.user, is_current=True)
    if tasks is not None:
        wanted = Task.objects.filter(project=project, pk__in=list(tasks)[:MOST_ASSIGNED], gold__isnull=True)
    else:
        if count is None or not 1 <= count <= MOST_ASSIGNED:
            raise UserError(
                "label.bad_assignment", "Choose between 1 and {limit} tasks to assign.", status=422, limit=MOST_ASSIGNED
            )
        wanted = Task.objects.filter(project=project, open_slots__gt=0, is_reserved=False)
    chosen = list(wanted.filter(~Exists(answered)).order_by("-priority", "position").values_list("pk", flat=True)[:count])
    LabelProject.objects.filter(pk=project.pk, has_assignments=False).update(has_assignments=True)
    made = 0
    for start in range(0, len(chosen), CHUNK):
        with transaction.atomic():
            made += sum(_reserve(project, task, member.user_id) for task in _locked(chosen[start : start + CHUNK]))
    record_audit(
        actor=user, workspace=project.workspace, action="label_project.assign", subject=project.name,
        person=member.user.username, count=made,
    )  # fmt: skip
    return made


def _locked(tasks: Sequence[int]) -> list[Task]:
    return list(Task.objects.select_for_update().filter(pk__in=tasks).order_by("pk"))


def _reserve(project: LabelProject, task: Task, person: int) -> bool:
    """A task reserved for several people has a slot for each."""
    _, created = Assignment.objects.get_or_create(task=task, user_id=person, defaults={"project": project})
    if created:
        wanted = Assignment.objects.filter(task=task, is_done=False).count()
        if wanted > task.open_slots:
            change_slots(task, wanted - task.open_slots)
        Task.objects.filter(pk=task.pk).update(is_reserved=True)
    return created


def unassign(*, user: User, project_id: int, person: int) -> int:
    """Take back what somebody has not answered yet; the tasks are for everybody again. Returns how many."""
    project = access_project(user, project_id, role=Role.MANAGER)
    mine = Assignment.objects.filter(project=project, user_id=person, is_done=False)
    freed = 0
    while chunk := list(mine.order_by("pk").values_list("task_id", flat=True)[:CHUNK]):
        with transaction.atomic():
            for task in _locked(chunk):
                Assignment.objects.filter(task=task, user_id=person, is_done=False).delete()
                if not Assignment.objects.filter(task=task, is_done=False).exists():
                    Task.objects.filter(pk=task.pk).update(is_reserved=False, is_reopened=True)
                freed += 1
    record_audit(
        actor=user, workspace=project.workspace, action="label_project.unassign", subject=project.name, person=person, count=freed
    )
    return freed

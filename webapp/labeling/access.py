"""The door to label projects and their tasks. Annotators label, managers make projects, viewers only look.

A project may give people roles of its own; managers and owners of the workspace keep theirs everywhere.
"""

from django.db.models import Subquery

from webapp.accounts.access import role_too_low
from webapp.accounts.models import Membership, Role, User
from webapp.core.errors import NotFound
from webapp.labeling.models import LabelProject, ProjectMember, Task


def access_project(user: User, project_id: int, *, role: str = Role.VIEWER) -> LabelProject:
    project = LabelProject.objects.select_related("workspace").filter(pk=project_id).first()
    if project is None:
        raise NotFound
    require_role(user, project, role)
    return project


def access_task(user: User, task_id: int, *, role: str = Role.ANNOTATOR) -> Task:
    task = Task.objects.select_related("project__workspace").filter(pk=task_id).first()
    if task is None:
        raise NotFound
    require_role(user, task.project, role)
    return task


def require_role(user: User, project: LabelProject, role: str) -> None:
    own = role_in(user, project)
    if not own:
        raise NotFound
    if Role.rank(own) < Role.rank(role):
        raise role_too_low(role, own, project.workspace)


def role_in(user: User, project: LabelProject) -> str:
    """The person's role in the project; empty for strangers and for those whom a closed circle leaves out.

    One query, because it stands before every claim and submit.
    """
    key = getattr(user, "api_key", None)
    if not user.is_active or (key and key.workspace_id not in {None, project.workspace_id}):
        return ""
    given = ProjectMember.objects.filter(user=user, project=project).values("role")[:1]
    membership = Membership.objects.filter(user=user, workspace_id=project.workspace_id)
    found = membership.values_list("role", Subquery(given)).first()
    if found is None:
        return ""
    everywhere, here = found
    if Role.rank(everywhere) >= Role.rank(Role.MANAGER):
        return str(everywhere)
    return str(here or ("" if project.members_only else everywhere))


def sees_everybody(role: str, project: LabelProject) -> bool:
    """Blind work: who labels sees the own annotations only."""
    return role not in {"", Role.ANNOTATOR} or (role == Role.ANNOTATOR and not project.blind)

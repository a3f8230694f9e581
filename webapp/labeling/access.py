"""The door to label projects and their tasks. Annotators label, managers make projects, viewers only look."""

from webapp.accounts.access import access_owned
from webapp.accounts.models import Membership, Role, User
from webapp.labeling.models import LabelProject, Task


def access_project(user: User, project_id: int, *, role: str = Role.VIEWER) -> LabelProject:
    return access_owned(user, LabelProject, project_id, role=role)


def access_task(user: User, task_id: int, *, role: str = Role.ANNOTATOR) -> Task:
    return access_owned(user, Task, task_id, role=role, path="project__workspace")


def role_in(user: User, project: LabelProject) -> str:
    """The person's role where the project is; empty for strangers."""
    found = Membership.objects.filter(user=user, workspace_id=project.workspace_id).values_list("role", flat=True)
    return found.first() or ""


def sees_everybody(role: str) -> bool:
    """Blind work: who labels sees the own annotations only."""
    return role not in {"", Role.ANNOTATOR}

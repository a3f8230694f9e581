"""The door to label projects and their tasks. Annotators label, managers make projects, viewers only look.

A project may give people roles of its own; managers and owners of the workspace keep theirs everywhere.
"""

from webapp.accounts.access import role_too_low
from webapp.accounts.models import Role, User
from webapp.core.errors import NotFound
from webapp.labeling.models import LabelProject, Task
from webapp.labeling.statements import Found, first, rows

LARGEST = 2**63
PROJECT = "SELECT * FROM labeling_labelproject WHERE id = %s"
TASK = "SELECT * FROM labeling_task WHERE id = %s"
ROLES = (
    "SELECT m.role, (SELECT p.role FROM labeling_projectmember p WHERE p.user_id = m.user_id AND p.project_id = %s) "
    "FROM accounts_membership m WHERE m.user_id = %s AND m.workspace_id = %s"
)


def access_project(user: User, project_id: int, *, role: str = Role.VIEWER) -> LabelProject:
    project = _fetched(LabelProject, PROJECT, project_id)
    if project is None:
        raise NotFound
    require_role(user, project, role)
    return project


def access_task(user: User, task_id: int, *, role: str = Role.ANNOTATOR) -> Task:
    task = _fetched(Task, TASK, task_id)
    project = _fetched(LabelProject, PROJECT, task.project_id) if task is not None else None
    if task is None or project is None:
        raise NotFound
    task.project = project
    require_role(user, project, role)
    return task


def _fetched(model: type[Found], statement: str, number: int) -> Found | None:
    """None for numbers that no row can have, which databases refuse."""
    return first(model, statement, number) if 0 < number < LARGEST else None


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
    found = rows(ROLES, project.pk, user.pk, project.workspace_id)
    if not found:
        return ""
    [(everywhere, here)] = found
    if Role.rank(everywhere) >= Role.rank(Role.MANAGER):
        return str(everywhere)
    return str(here or ("" if project.members_only else everywhere))


def sees_everybody(role: str, project: LabelProject) -> bool:
    """Blind work: who labels sees the own annotations only."""
    return role not in {"", Role.ANNOTATOR} or (role == Role.ANNOTATOR and not project.blind)

"""The one door: every object that a request names is fetched through an `access_*` function. Strangers get 404."""

from typing import TypeVar

from django.db.models import Model

from webapp.accounts.models import Membership, Role, User, Workspace
from webapp.core.errors import NotFound, UserError

Owned = TypeVar("Owned", bound=Model)


def access_workspace(user: User, slug: str, *, role: str = Role.VIEWER) -> Workspace:
    """The workspace by its slug, when the user is a member with at least `role`."""
    membership = Membership.objects.select_related("workspace").filter(user_id=user.pk, workspace__slug=slug).first()
    return _check(user, membership, role)


def access_workspace_id(user: User, workspace_id: int, *, role: str = Role.VIEWER) -> Workspace:
    membership = Membership.objects.select_related("workspace").filter(user_id=user.pk, workspace_id=workspace_id).first()
    return _check(user, membership, role)


def access_owned(user: User, model: type[Owned], object_id: int, *, role: str = Role.VIEWER, path: str = "workspace") -> Owned:
    """An object that belongs to a workspace through `path` (`workspace`, `dataset__workspace`)."""
    found = model._default_manager.filter(pk=object_id).select_related(path).first()
    if found is None:
        raise NotFound
    workspace = found
    for step in path.split("__"):
        workspace = getattr(workspace, step)
    access_workspace_id(user, workspace.pk, role=role)
    return found


def _check(user: User, membership: Membership | None, role: str) -> Workspace:
    key = getattr(user, "api_key", None)
    if membership is None or not user.is_active or (key and key.workspace_id not in {None, membership.workspace_id}):
        raise NotFound
    if Role.rank(membership.role) < Role.rank(role):
        raise role_too_low(role, membership.role, membership.workspace)
    return membership.workspace


def role_too_low(needed: str, role: str, workspace: Workspace) -> UserError:
    return UserError(
        "access.role_too_low",
        "This needs the role “{needed}” and you are “{role}” here; ask an owner of “{workspace}”.",
        status=403,
        needed=str(Role(needed).label),
        role=str(Role(role).label),
        workspace=workspace.name,
    )


def may(user: User, workspace: Workspace, role: str) -> bool:
    """For templates and lists: does the user have at least this role here?"""
    membership = Membership.objects.filter(user_id=user.pk, workspace=workspace).values_list("role", flat=True).first()
    return membership is not None and Role.rank(membership) >= Role.rank(role)

"""The door to deployments."""

from django.db.models import QuerySet

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User
from webapp.serving.models import Deployment


def access_deployment(user: User, deployment_id: int, *, role: str = Role.VIEWER) -> Deployment:
    return access_owned(user, Deployment, deployment_id, role=role)


def usable_deployments(user: User) -> QuerySet[Deployment]:
    """Deployments that the user may send requests to; an API key that is bound to a workspace sees only that one's."""
    found = Deployment.objects.filter(workspace__memberships__user_id=user.pk).select_related("workspace", "model")
    key = getattr(user, "api_key", None)
    if key is not None and key.workspace_id is not None:
        found = found.filter(workspace_id=key.workspace_id)
    return found

"""What the shell of every page needs: the workspaces of the reader."""

from typing import Any

from django.http import HttpRequest

from webapp.accounts.models import Workspace


def workspaces(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {"workspaces": Workspace.objects.filter(memberships__user=user).order_by("name")}

"""What the settings page and the list of workspaces read."""

from typing import Any

from django.db.models import QuerySet

from webapp.accounts.models import ApiKey, AuditEntry, Invitation, Membership, User, Workspace
from webapp.accounts.services import key_workspace
from webapp.accounts.wording import audit_line

AUDIT_SHOWN = 50


def settings_context(user: User, workspace: Workspace) -> dict[str, Any]:
    """Members, open invitations, the reader's own keys, and the latest audit rows."""
    latest = AuditEntry.objects.filter(workspace=workspace).select_related("actor").order_by("-id")[:AUDIT_SHOWN]
    return {
        "members": Membership.objects.filter(workspace=workspace).select_related("user").order_by("joined_at"),
        "invitations": Invitation.objects.filter(workspace=workspace, accepted_by=None).select_related("created_by"),
        "keys": ApiKey.objects.filter(user=user, revoked_at=None).select_related("workspace").order_by("-id"),
        "audit": [(entry, audit_line(entry)) for entry in latest],
    }


def workspaces_of(user: User) -> QuerySet[Workspace]:
    """Where the user is a member; through a key that is bound to one workspace, only that."""
    mine = Workspace.objects.filter(memberships__user=user.pk).order_by("id")
    bound = key_workspace(user)
    return mine if bound is None else mine.filter(pk=bound)

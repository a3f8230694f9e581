"""What the settings page reads."""

from typing import Any

from webapp.accounts.models import ApiKey, AuditEntry, Invitation, Membership, User, Workspace


def settings_context(user: User, workspace: Workspace) -> dict[str, Any]:
    """Members, open invitations, the reader's own keys, and the latest audit rows."""
    return {
        "members": Membership.objects.filter(workspace=workspace).select_related("user").order_by("joined_at"),
        "invitations": Invitation.objects.filter(workspace=workspace, accepted_by=None).select_related("created_by"),
        "keys": ApiKey.objects.filter(user=user, revoked_at=None).select_related("workspace").order_by("-id"),
        "audit": AuditEntry.objects.filter(workspace=workspace).select_related("actor").order_by("-id")[:50],
    }

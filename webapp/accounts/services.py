"""What happens to accounts: workspaces, members, invitations, API keys, log-in links, audit rows."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from webapp.accounts.access import access_workspace_id
from webapp.accounts.models import ApiKey, AuditEntry, Invitation, LoginLink, Membership, Role, User, Workspace
from webapp.core.errors import NotFound, UserError

SCOPES = ["read", "write", "inference", "admin"]
KEY_USE_RESOLUTION = timedelta(minutes=1)


def record_audit(*, actor: User | None, workspace: Workspace | None, action: str, subject: str, **details: Any) -> None:
    AuditEntry.objects.create(actor=actor, workspace=workspace, action=action, subject=subject[:120], details=details)


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def key_workspace(user: User) -> int | None:
    """The workspace to which the key of this request is bound, if it came with one that is."""
    key = getattr(user, "api_key", None)
    return key.workspace_id if key is not None else None


@transaction.atomic
def create_workspace(*, user: User, name: str, slug: str = "", is_demo: bool = False) -> Workspace:
    """A new workspace whose owner is the user; the slug is made from the name when not given."""
    if key_workspace(user) is not None:
        raise UserError("key.one_workspace", "This key belongs to one workspace; log in to make another one.", status=403)
    name = name.strip()
    if not name:
        raise UserError("workspace.no_name", "The workspace has no name; give it one.")
    workspace = Workspace.objects.create(name=name[:120], slug=_free_slug(slug or name), is_demo=is_demo)
    Membership.objects.create(user=user, workspace=workspace, role=Role.OWNER)
    record_audit(actor=user, workspace=workspace, action="workspace.create", subject=name)
    return workspace


def _free_slug(wanted: str) -> str:
    base = slugify(wanted)[:50] or "workspace"
    slug, number = base, 2
    while Workspace.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


@transaction.atomic
def create_invitation(*, user: User, workspace_id: int, role: str, note: str = "", days: int = 7) -> tuple[Invitation, str]:
    """An invitation and its token; nobody can invite above the own role."""
    workspace = access_workspace_id(user, workspace_id, role=Role.MANAGER)
    if role not in Role.values:
        raise UserError(
            "invitation.unknown_role",
            "There is no role “{role}”; choose one of {roles}.",
            role=role,
            roles=", ".join(Role.values),
        )
    access_workspace_id(user, workspace_id, role=role)
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        workspace=workspace,
        role=role,
        note=note[:120],
        token_hash=hash_token(token),
        created_by=user,
        expires_at=timezone.now() + timedelta(days=days),
    )
    record_audit(actor=user, workspace=workspace, action="invitation.create", subject=role)
    return invitation, token


def open_invitation(token: str) -> Invitation:
    """The invitation behind a token that can still be used."""
    invitation = Invitation.objects.select_related("workspace").filter(token_hash=hash_token(token), accepted_by=None).first()
    if invitation is None or invitation.expires_at < timezone.now():
        raise UserError("invitation.spent", "This invitation has been used or has expired; ask for a new link.", status=404)
    return invitation


@transaction.atomic
def accept_invitation(*, user: User, token: str) -> Workspace:
    """Join; a member keeps the higher of the two roles."""
    invitation = open_invitation(token)
    taken = Invitation.objects.filter(pk=invitation.pk, accepted_by=None).update(accepted_by=user)
    if not taken:
        raise UserError("invitation.spent", "This invitation has been used or has expired; ask for a new link.", status=404)
    membership, created = Membership.objects.get_or_create(
        user=user, workspace=invitation.workspace, defaults={"role": invitation.role}
    )
    if not created and Role.rank(membership.role) < Role.rank(invitation.role):
        Membership.objects.filter(pk=membership.pk).update(role=invitation.role)
    record_audit(actor=user, workspace=invitation.workspace, action="member.join", subject=user.username, role=invitation.role)
    return invitation.workspace


@transaction.atomic
def sign_up(*, username: str, password: str, token: str = "", open_sign_up: bool = False) -> User:
    """A new user, by invitation or, when the operator opened it, by everyone."""
    if not token and not open_sign_up:
        raise NotFound
    if token:
        open_invitation(token)
    username = username.strip()
    if not username or User.objects.filter(username__iexact=username).exists():
        raise UserError("user.name_taken", "The name “{name}” is empty or taken; choose another.", name=username)
    user = User(username=username)
    set_password(user=user, password=password)
    if token:
        accept_invitation(user=user, token=token)
    return user


def set_password(*, user: User, password: str) -> None:
    """Set and save a password that passes the validators."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise UserError("user.weak_password", "{reasons}", reasons=" ".join(error.messages)) from error
    user.set_password(password)
    user.save()


@transaction.atomic
def change_role(*, user: User, workspace_id: int, member_id: int, role: str) -> None:
    """Set a member's role (empty: remove the member); the last owner stays."""
    workspace = access_workspace_id(user, workspace_id, role=Role.OWNER)
    membership = Membership.objects.select_related("user").filter(workspace=workspace, user_id=member_id).first()
    if membership is None or (role and role not in Role.values):
        raise NotFound
    owners = Membership.objects.filter(workspace=workspace, role=Role.OWNER).exclude(pk=membership.pk)
    if membership.role == Role.OWNER and role != Role.OWNER and not owners.exists():
        raise UserError(
            "member.last_owner", "“{name}” is the last owner; make somebody else owner first.", name=str(membership.user)
        )
    if role:
        Membership.objects.filter(pk=membership.pk).update(role=role)
    else:
        membership.delete()
    record_audit(actor=user, workspace=workspace, action="member.role", subject=membership.user.username, role=role or "removed")


@transaction.atomic
def create_key(
    *, user: User, name: str, scopes: Sequence[str], workspace: Workspace | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown once and never kept."""
    wanted = SCOPES if "all" in scopes else list(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise UserError(
            "key.unknown_scope",
            "Scopes are some of {scopes}, or all; {given} is not.",
            scopes=", ".join(SCOPES),
            given=", ".join(scopes),
        )
    own = getattr(user, "api_key", None)
    if own is not None:
        if "admin" not in own.scopes and not set(wanted) <= set(own.scopes):
            raise UserError(
                "key.beyond_own",
                "This key may only make keys with its own scopes ({scopes}); log in to make others.",
                status=403,
                scopes=", ".join(own.scopes),
            )
        expires_at = min(filter(None, (expires_at, own.expires_at)), default=None)
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user,
        workspace=workspace,
        name=name.strip()[:80] or "key",
        prefix=prefix,
        secret_hash=hash_token(secret),
        scopes=wanted,
        expires_at=expires_at,
    )
    record_audit(actor=user, workspace=workspace, action="key.create", subject=str(key), scopes=wanted)
    return key, f"sy_{prefix}_{secret}"


def revoke_key(*, user: User, key_id: int) -> None:
    """A key can revoke those of its own workspace only."""
    key = ApiKey.objects.filter(pk=key_id, user=user).first()
    if key is None or key_workspace(user) not in {None, key.workspace_id}:
        raise NotFound
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    record_audit(actor=user, workspace=key.workspace, action="key.revoke", subject=str(key))


def authenticate_key(text: str, scope: str) -> User | None:
    """The user behind a key that is alive and has the scope, with `user.api_key` set; None otherwise."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "sy":
        return None
    key = ApiKey.objects.select_related("user").filter(prefix=parts[1], revoked_at=None).first()
    if key is None or not secrets.compare_digest(key.secret_hash, hash_token(parts[2])):
        return None
    now = timezone.now()
    if not key.user.is_active or (key.expires_at and key.expires_at < now):
        return None
    if scope not in key.scopes and "admin" not in key.scopes:
        return None
    if key.last_used_at is None or now - key.last_used_at > KEY_USE_RESOLUTION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    key.user.api_key = key  # type: ignore[attr-defined]
    return key.user


def create_login_link(*, user: User, hours: int = 24) -> str:
    """The token of a fresh one-time link; links made before stop working."""
    LoginLink.objects.filter(user=user, used_at=None).delete()
    token = secrets.token_urlsafe(24)
    LoginLink.objects.create(user=user, token_hash=hash_token(token), expires_at=timezone.now() + timedelta(hours=hours))
    return token


def use_login_link(token: str) -> User | None:
    """The user of a link that is fresh; the link is spent by this."""
    now = timezone.now()
    link = LoginLink.objects.select_related("user").filter(token_hash=hash_token(token)).first()
    if link is None or not LoginLink.objects.filter(pk=link.pk, used_at=None, expires_at__gt=now).update(used_at=now):
        return None
    return link.user


@transaction.atomic
def ensure_admin() -> tuple[User, bool]:
    """The first superuser, made when there is none; it has no password until it sets one."""
    user = User.objects.filter(is_superuser=True).order_by("pk").first()
    if user:
        return user, False
    user = User(username="admin", is_superuser=True, is_staff=True)
    user.set_unusable_password()
    user.save()
    return user, True

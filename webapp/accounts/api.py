"""Workspaces, members, invitations and keys in the API."""

from datetime import datetime

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from webapp.accounts import queries, services
from webapp.accounts.access import access_workspace
from webapp.accounts.models import Membership, Role, Workspace

router = Router()


class WorkspaceOut(Schema):
    slug: str
    name: str
    is_demo: bool
    created_at: datetime


class Workspaces(Schema):
    items: list[WorkspaceOut]
    next_cursor: str | None = None


class WorkspaceIn(Schema):
    name: str = Field(min_length=1, max_length=120)


class MemberOut(Schema):
    id: int
    username: str
    role: str
    joined_at: datetime


class Members(Schema):
    items: list[MemberOut]
    next_cursor: str | None = None


class InvitationIn(Schema):
    role: str = Role.ANNOTATOR
    note: str = ""


class InvitationOut(Schema):
    token: str
    role: str
    expires_at: datetime


class KeyIn(Schema):
    name: str = Field(min_length=1, max_length=80)
    scopes: list[str] = Field(min_length=1)


class KeyOut(Schema):
    id: int
    key: str = Field(description="shown this once")
    scopes: list[str]


@router.get("/workspaces", response=Workspaces)
def list_workspaces(request: HttpRequest) -> dict[str, object]:
    """The workspaces that you are a member of."""
    return {"items": list(queries.workspaces_of(request.user))}  # type: ignore[arg-type]


@router.post("/workspaces", response={201: WorkspaceOut})
def create_workspace(request: HttpRequest, body: WorkspaceIn) -> Status[Workspace]:
    return Status(201, services.create_workspace(user=request.user, name=body.name))  # type: ignore[arg-type]


@router.get("/workspaces/{slug}", response=WorkspaceOut)
def get_workspace(request: HttpRequest, slug: str) -> Workspace:
    return access_workspace(request.user, slug)  # type: ignore[arg-type]


@router.get("/workspaces/{slug}/members", response=Members)
def list_members(request: HttpRequest, slug: str) -> dict[str, object]:
    workspace = access_workspace(request.user, slug)  # type: ignore[arg-type]
    rows = Membership.objects.filter(workspace=workspace).select_related("user").order_by("joined_at")
    return {"items": [{"id": m.user_id, "username": m.user.username, "role": m.role, "joined_at": m.joined_at} for m in rows]}


@router.post("/workspaces/{slug}/invitations", response={201: InvitationOut})
def invite(request: HttpRequest, slug: str, body: InvitationIn) -> Status[dict[str, object]]:
    workspace = access_workspace(request.user, slug, role=Role.MANAGER)  # type: ignore[arg-type]
    invitation, token = services.create_invitation(user=request.user, workspace_id=workspace.pk, role=body.role, note=body.note)  # type: ignore[arg-type]
    return Status(201, {"token": token, "role": invitation.role, "expires_at": invitation.expires_at})


@router.post("/workspaces/{slug}/keys", response={201: KeyOut})
def create_key(request: HttpRequest, slug: str, body: KeyIn) -> Status[dict[str, object]]:
    workspace = access_workspace(request.user, slug)  # type: ignore[arg-type]
    key, text = services.create_key(user=request.user, workspace=workspace, name=body.name, scopes=body.scopes)  # type: ignore[arg-type]
    return Status(201, {"id": key.pk, "key": text, "scopes": key.scopes})


@router.delete("/keys/{key_id}", response={204: None})
def revoke_key(request: HttpRequest, key_id: int) -> Status[None]:
    services.revoke_key(user=request.user, key_id=key_id)  # type: ignore[arg-type]
    return Status(204, None)

"""Conversations in the API: list, start, write, regenerate, stop, rate. Only their holder sees them."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from ninja import Router, Schema, Status
from pydantic import Field

from webapp.accounts.access import access_workspace
from webapp.chat import queries, services
from webapp.chat.access import access_conversation, access_turn
from webapp.chat.models import Conversation
from webapp.chat.settings import ChatParameters, ChatSettings
from webapp.core.paging import paginate

router = Router()


class ConversationOut(Schema):
    id: int
    title: str
    workspace: str
    deployment: int | None
    model_name: str
    system_prompt: str
    settings: dict[str, Any]
    leaf: int | None
    url: str
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_workspace(row: Conversation) -> str:
        return row.workspace.slug

    @staticmethod
    def resolve_deployment(row: Conversation) -> int | None:
        return row.deployment_id

    @staticmethod
    def resolve_model_name(row: Conversation) -> str:
        return row.deployment.name if row.deployment else ""

    @staticmethod
    def resolve_leaf(row: Conversation) -> int | None:
        return row.leaf_id

    @staticmethod
    def resolve_url(row: Conversation) -> str:
        return reverse("conversation", args=[row.workspace.slug, row.pk])


class Conversations(Schema):
    items: list[ConversationOut]
    next_cursor: str | None


class ConversationIn(Schema):
    deployment: int | None = None
    title: str = ""
    system_prompt: str = ""
    settings: ChatSettings = Field(default_factory=ChatSettings)
    again: bool = False
    """The answer to an earlier request was lost: what that one made is taken, where it is still empty."""


class ConversationChange(Schema):
    title: str | None = None
    deployment: int | None = None
    system_prompt: str | None = None
    settings: ChatSettings | None = None


class FeedbackIn(Schema):
    rating: int
    reasons: list[str] = Field(default_factory=list)
    comment: str = ""
    correction: str = ""


class FeedbackOut(FeedbackIn):
    pass


class TurnError(Schema):
    """`message` says all; a page shows `sentence`, and what a library said (`technical`) in a fold."""

    code: str
    message: str
    sentence: str
    technical: str


class TurnOut(Schema):
    """Offsets of streamed text count code points of `content`."""

    id: int
    conversation: int
    parent: int | None
    role: str
    content: str
    trace: list[Any]
    state: str
    deployment: int | None
    model_name: str
    parameters: dict[str, Any]
    usage: dict[str, Any]
    error: TurnError | None
    feedback: FeedbackOut | None
    created_at: datetime
    finished_at: datetime | None


class Turns(Schema):
    turns: list[TurnOut]
    leaf: int | None


class MessageIn(Schema):
    """`parent`: the answer that it follows (left out: the end of the branch shown; null: the beginning)."""

    content: str
    parent: int | None = None
    key: str = Field(default="", max_length=80, description="a message sent twice with the same key is kept once")
    parameters: ChatParameters | None = None


class RegenerateIn(Schema):
    key: str = Field(default="", max_length=80, description="asked twice with the same key, there is one answer")
    parameters: ChatParameters | None = None


class LeafIn(Schema):
    leaf: int


def _turns(conversation_id: int, ids: list[int] | None, leaf: int | None) -> dict[str, Any]:
    return {"turns": [queries.turn_data(turn) for turn in queries.turns(conversation_id, ids)], "leaf": leaf}


@router.get("/workspaces/{slug}/conversations", response=Conversations)
def list_conversations(
    request: HttpRequest, slug: str, search: str = "", cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    workspace = access_workspace(request.user, slug)  # type: ignore[arg-type]
    rows = queries.conversations(request.user, workspace, search).select_related("workspace")  # type: ignore[arg-type]
    found = paginate(rows, cursor=cursor, limit=limit)
    return {"items": found.items, "next_cursor": found.next_cursor}


@router.post("/workspaces/{slug}/conversations", response={201: ConversationOut})
def create_conversation(request: HttpRequest, slug: str, body: ConversationIn) -> Status[Conversation]:
    made = services.create_conversation(
        user=request.user,  # type: ignore[arg-type]
        workspace=slug,
        deployment_id=body.deployment,
        title=body.title,
        system_prompt=body.system_prompt,
        settings=body.settings,
        again=body.again,
    )
    return Status(201, made)


@router.get("/conversations/{conversation_id}", response=ConversationOut)
def get_conversation(request: HttpRequest, conversation_id: int) -> Conversation:
    return access_conversation(request.user, conversation_id)  # type: ignore[arg-type]


@router.patch("/conversations/{conversation_id}", response=ConversationOut)
def change_conversation(request: HttpRequest, conversation_id: int, body: ConversationChange) -> Conversation:
    return services.update_conversation(
        user=request.user,  # type: ignore[arg-type]
        conversation_id=conversation_id,
        title=body.title,
        deployment_id=body.deployment,
        system_prompt=body.system_prompt,
        settings=body.settings,
    )


@router.delete("/conversations/{conversation_id}", response={204: None})
def delete_conversation(request: HttpRequest, conversation_id: int) -> Status[None]:
    services.delete_conversation(user=request.user, conversation_id=conversation_id)  # type: ignore[arg-type]
    return Status(204, None)


@router.get("/conversations/{conversation_id}/turns", response=Turns)
def list_turns(request: HttpRequest, conversation_id: int) -> dict[str, Any]:
    """All turns of the tree, oldest first, and the leaf of the branch that is shown."""
    conversation = access_conversation(request.user, conversation_id)  # type: ignore[arg-type]
    return _turns(conversation.pk, None, conversation.leaf_id)


@router.post("/conversations/{conversation_id}/turns", response={201: Turns})
def send_message(request: HttpRequest, conversation_id: int, body: MessageIn) -> Status[dict[str, Any]]:
    """Write a message; the answer is queued. Follow it at /ws/chat/<conversation>/ or by reading the turn again."""
    message, answer = services.send_message(
        user=request.user,  # type: ignore[arg-type]
        conversation_id=conversation_id,
        content=body.content,
        parent_id=body.parent,
        at_root=body.parent is None and "parent" in body.model_fields_set,
        client_key=body.key,
        parameters=body.parameters,
    )
    return Status(201, _turns(conversation_id, [message.pk, answer.pk], answer.pk))


@router.post("/conversations/{conversation_id}/leaf", response=ConversationOut)
def show_branch(request: HttpRequest, conversation_id: int, body: LeafIn) -> Conversation:
    """Show the branch that a turn is on, to its newest end."""
    return services.update_conversation(user=request.user, conversation_id=conversation_id, leaf=body.leaf)  # type: ignore[arg-type]


@router.get("/turns/{turn_id}", response=TurnOut)
def get_turn(request: HttpRequest, turn_id: int) -> dict[str, Any]:
    turn = access_turn(request.user, turn_id)  # type: ignore[arg-type]
    return queries.turn_data(turn)


@router.post("/turns/{turn_id}/stop", response=TurnOut)
def stop_turn(request: HttpRequest, turn_id: int) -> dict[str, Any]:
    return queries.turn_data(services.stop_turn(user=request.user, turn_id=turn_id))  # type: ignore[arg-type]


@router.post("/turns/{turn_id}/regenerate", response={201: Turns})
def regenerate(request: HttpRequest, turn_id: int, body: RegenerateIn) -> Status[dict[str, Any]]:
    """Another answer beside the one given."""
    answer = services.regenerate(
        user=request.user,  # type: ignore[arg-type]
        turn_id=turn_id,
        client_key=body.key,
        parameters=body.parameters,
    )
    return Status(201, _turns(answer.conversation_id, [answer.pk], answer.pk))


@router.api_operation(["PUT", "POST"], "/turns/{turn_id}/feedback", response=TurnOut)
def rate_turn(request: HttpRequest, turn_id: int, body: FeedbackIn) -> dict[str, Any]:
    """👍 is 1, 👎 is -1, 0 takes it back."""
    services.rate_turn(user=request.user, turn_id=turn_id, **body.model_dump())  # type: ignore[arg-type]
    return queries.turn_data(access_turn(request.user, turn_id))  # type: ignore[arg-type]

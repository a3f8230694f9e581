"""Reads of conversations: lists with search, and turns as the page and the API show them."""

from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from webapp.accounts.models import User, Workspace
from webapp.chat.models import Conversation, Feedback, Turn
from webapp.core.errors import folded, translate


def conversations(user: User, workspace: Workspace, search: str = "") -> QuerySet[Conversation]:
    """The user's conversations here; every word of `search` occurs in the title or in one of the messages."""
    found = Conversation.objects.filter(workspace=workspace, user_id=user.pk).select_related("deployment")
    for word in search.split()[:8]:
        hit = Turn.objects.filter(content__icontains=word, conversation__user_id=user.pk, conversation__workspace=workspace)
        found = found.filter(Q(title__icontains=word) | Q(pk__in=hit.values("conversation_id")))
    return found


def turns(conversation_id: int, ids: list[int] | None = None) -> list[Turn]:
    """All turns of a conversation, or some, oldest first, with the holder's feedback."""
    found = Turn.objects.filter(conversation_id=conversation_id)
    if ids is not None:
        found = found.filter(pk__in=ids)
    return list(found.prefetch_related(Prefetch("feedback", queryset=Feedback.objects.order_by("-id"))).order_by("pk"))


def turn_data(turn: Turn) -> dict[str, Any]:
    """A turn as JSON. Offsets into `content` count code points."""
    feedback = next(iter(turn.feedback.all()), None)
    return {
        "id": turn.pk,
        "conversation": turn.conversation_id,
        "parent": turn.parent_id,
        "role": turn.role,
        "content": turn.content,
        "trace": turn.trace,
        "state": turn.state,
        "deployment": turn.deployment_id,
        "model_name": turn.model_name,
        "parameters": turn.parameters,
        "usage": turn.usage,
        "error": error_data(turn.error),
        "feedback": feedback_data(feedback) if feedback else None,
        "created_at": turn.created_at.isoformat(),
        "finished_at": turn.finished_at.isoformat() if turn.finished_at else None,
    }


def error_data(error: dict[str, Any]) -> dict[str, str] | None:
    if not error:
        return None
    template, params = error.get("template", ""), error.get("params", {})
    sentence, details = folded(template, params)
    return {"code": error.get("code", ""), "message": translate(template, params), "sentence": sentence, "technical": details}


def feedback_data(feedback: Feedback) -> dict[str, Any]:
    return {
        "rating": feedback.rating,
        "reasons": feedback.reasons,
        "comment": feedback.comment,
        "correction": feedback.correction,
    }


def path_to(turn_id: int | None, conversation_id: int) -> list[Turn]:
    """The turns from the root to `turn_id`, in order."""
    parents = dict(Turn.objects.filter(conversation_id=conversation_id).values_list("pk", "parent_id"))
    path: list[int] = []
    while turn_id is not None and turn_id in parents:
        path.append(turn_id)
        turn_id = parents[turn_id]
    found = Turn.objects.in_bulk(path)
    return [found[pk] for pk in reversed(path) if pk in found]

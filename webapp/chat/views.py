"""The chat page: the conversations of the reader beside the one that is open."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.chat import queries, services
from webapp.chat.access import access_conversation
from webapp.chat.models import Conversation
from webapp.chat.settings import shown_defaults
from webapp.chat.suggestions import suggestions
from webapp.core.errors import NotFound
from webapp.serving.models import Deployment, Wanted

LIST_STEP = 60
LIST_MAXIMUM = 1200


def list_context(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    """The reader's conversations, those touched last first."""
    search = request.GET.get("q", "").strip()
    wanted = request.GET.get("show", "")
    show = min(LIST_MAXIMUM, max(LIST_STEP, int(wanted))) if wanted.isdigit() else LIST_STEP
    rows = queries.conversations(request.user, workspace, search).order_by("-updated_at", "-id")  # type: ignore[arg-type]
    found = list(rows[: show + 1])
    more = show + LIST_STEP if len(found) > show and show < LIST_MAXIMUM else None
    return {"conversations": found[:show], "search": search, "show_more": more}


def chat_context(request: HttpRequest, workspace: Workspace, conversation: Conversation | None) -> dict[str, Any]:
    choices = list(Deployment.objects.filter(workspace=workspace).select_related("model").order_by("name"))
    running = [row for row in choices if row.wanted == Wanted.RUNNING]
    chosen = request.GET.get("deployment", "")
    if conversation is not None:
        current = conversation.deployment
    else:
        asked = next((row for row in choices if str(row.pk) == chosen), None)
        current = asked or services.default_deployment(request.user, workspace.pk)  # type: ignore[arg-type]
    settings = {"system_prompt": conversation.system_prompt, **conversation.settings} if conversation else {}
    return {
        "conversation": conversation,
        "choices": [row for row in choices if row in running or row == current],
        "deployment": current,
        "settings_json": json.dumps(settings),
        "defaults_json": json.dumps(shown_defaults(current.model if current else None)),
        "suggestions_json": json.dumps(suggestions(workspace, request.user), ensure_ascii=False),  # type: ignore[arg-type]
        "topic": f"chats.{request.user.pk}",
        **list_context(request, workspace),
    }


@require_safe
@workspace_page()
def chat(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """A new conversation; with htmx the list alone, for `?current=` the one that is open."""
    if request.headers.get("HX-Request"):
        current = request.GET.get("current", "")
        context = {"workspace": workspace, "current_id": int(current) if current.isdigit() else None}
        return render(request, "chat/_list.html", {**context, **list_context(request, workspace)})
    return page(request, "chat/chat.html", workspace, "chat", **chat_context(request, workspace, None))


def _opened(request: HttpRequest, workspace: Workspace, conversation_id: int) -> Conversation:
    conversation = access_conversation(request.user, conversation_id)  # type: ignore[arg-type]
    if conversation.workspace_id != workspace.pk:
        raise NotFound
    return conversation


@require_safe
@workspace_page()
def conversation(request: HttpRequest, workspace: Workspace, conversation_id: int) -> HttpResponse:
    opened = _opened(request, workspace, conversation_id)
    context = {"current_id": opened.pk, **chat_context(request, workspace, opened)}
    return page(request, "chat/chat.html", workspace, "chat", **context)


@require_POST
@workspace_page()
def conversation_change(request: HttpRequest, workspace: Workspace, conversation_id: int) -> HttpResponse:
    """Rename it, or let another deployment answer."""
    opened = _opened(request, workspace, conversation_id)
    deployment = request.POST.get("deployment", "")
    services.update_conversation(
        user=request.user,  # type: ignore[arg-type]
        conversation_id=opened.pk,
        title=request.POST.get("title"),
        deployment_id=int(deployment) if deployment.isdigit() else None,
    )
    return redirect("conversation", workspace.slug, opened.pk)


@require_POST
@workspace_page()
def conversation_delete(request: HttpRequest, workspace: Workspace, conversation_id: int) -> HttpResponse:
    opened = _opened(request, workspace, conversation_id)
    services.delete_conversation(user=request.user, conversation_id=opened.pk)  # type: ignore[arg-type]
    return redirect("chat", workspace.slug)

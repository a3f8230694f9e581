"""The home page, the way in, and the API documentation."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from webapp.accounts.models import Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.accounts.services import create_workspace
from webapp.jobs import workers_alive
from webapp.projects import lesson, queries


@require_safe
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """To the workspace used last, or the first one; a member of none gets one of their own."""
    mine = Workspace.objects.filter(memberships__user=request.user.pk).order_by("-is_demo", "id")
    workspace = mine.filter(slug=request.session.get("workspace", "")).first() or mine.first()
    if workspace is None:
        workspace = create_workspace(user=request.user, name=f"{request.user}")  # type: ignore[arg-type]
    return redirect("home", workspace.slug)


@require_safe
@workspace_page()
def home(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    stations = queries.stations(workspace, request.user)  # type: ignore[arg-type]
    context = {
        "stations": stations,
        "can_chat": any(station.name == "deployment" and station.health != "idle" for station in stations),
        "activity": queries.recent_activity(workspace),
        "lesson": lesson.next_step(workspace, request.user),  # type: ignore[arg-type]
        "worker_missing": not workers_alive.any_alive(),
    }
    if request.headers.get("HX-Request"):
        return render(request, "projects/_chain.html", {"workspace": workspace, **context})
    return page(request, "projects/home.html", workspace, "home", **context)


@require_safe
@login_required
def api_docs(request: HttpRequest) -> HttpResponse:
    from webapp.api import api

    groups = queries.operations(api.get_openapi_schema())
    return render(request, "projects/api_docs.html", {"groups": groups, "base": request.build_absolute_uri("/").rstrip("/")})

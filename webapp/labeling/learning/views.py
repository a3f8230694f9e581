"""The page of learning: one click, the steps of the round, earlier rounds, and when the next one starts by itself."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError
from webapp.datasets.requests import MemberRequest
from webapp.labeling.access import role_in
from webapp.labeling.learning import rounds, showing
from webapp.labeling.models import LabelProject


def _project(request: MemberRequest, workspace: Workspace, project_id: int, role: str) -> LabelProject:
    from webapp.labeling.views import project_of

    return project_of(request, workspace, project_id, role)


def _context(request: MemberRequest, project: LabelProject) -> dict[str, Any]:
    from webapp.labeling.views import frame

    known = frame(project, role_in(request.user, project))
    return {**known, "tab": "learning", **showing.learning_context(project, known["may_manage"])}


def _number(request: MemberRequest, name: str, default: int | None = None) -> int | None:
    text = request.POST.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UserError("form.invalid", "{field}: {reason}", status=422, field=name, reason=_("Enter a whole number."))
    return int(text)


@require_safe
@workspace_page()
def learning_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = _project(request, workspace, project_id, Role.REVIEWER)
    context = _context(request, project)
    if request.headers.get("HX-Request"):
        name = "_learning.html" if request.GET.get("part") == "card" else "_rounds.html"
        return render(request, f"labeling/{name}", {"workspace": workspace, **context})
    return page(request, "labeling/learning.html", workspace, "labeling", charts=True, **context)


@require_POST
@workspace_page()
def round_start(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = _project(request, workspace, project_id, Role.MANAGER)
    base_model, limit = _number(request, "base_model"), _number(request, "limit", 10_000) or 0
    rounds.start_round(user=request.user, project_id=project.pk, base_model=base_model, limit=limit)
    return redirect("label_learning", workspace.slug, project.pk)


@require_POST
@workspace_page()
def round_cancel(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = _project(request, workspace, project_id, Role.MANAGER)
    made = rounds.access_round(request.user, _number(request, "round") or 0, role=Role.MANAGER)
    if made.project_id != project.pk:
        raise NotFound
    rounds.cancel_round(user=request.user, round_id=made.pk)
    return redirect("label_learning", workspace.slug, project.pk)


@require_POST
@workspace_page()
def plan_set(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = _project(request, workspace, project_id, Role.MANAGER)
    every, base_model = _number(request, "every", 0) or 0, _number(request, "base_model")
    rounds.plan_rounds(user=request.user, project_id=project.pk, every=every, base_model=base_model)
    return redirect("label_learning", workspace.slug, project.pk)


@require_safe
@workspace_page()
def accuracy_figure(request: MemberRequest, workspace: Workspace, project_id: int) -> JsonResponse:
    project = _project(request, workspace, project_id, Role.REVIEWER)
    return JsonResponse(showing.accuracy_chart(project))

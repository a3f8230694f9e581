"""Pages of working together: people, review, disputes, agreement, and the dashboard of a project."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError
from webapp.datasets.requests import MemberRequest
from webapp.labeling import dashboard, people, predicting, prelabeling, queries, webhooks
from webapp.labeling.access import access_task, role_in
from webapp.labeling.models import Annotation, LabelProject, PredictionSource
from webapp.labeling.quality import adjudicating, gold, reporting, reviewing
from webapp.labeling.quality.reporting import FIGURE_NAMES
from webapp.labeling.views import frame, project_of
from webapp.serving.access import usable_deployments
from webapp.serving.models import Health

DELIVERIES_SHOWN = 10


def _frame(request: MemberRequest, project: LabelProject, tab: str) -> dict[str, Any]:
    return {**frame(project, role_in(request.user, project)), "tab": tab}


@require_safe
@workspace_page()
def people_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    context = {
        **_frame(request, project, "people"),
        "people": people.list_people(user=request.user, project_id=project.pk),
        "roles": [(role.value, role.label) for role in people.GIVEN_ROLES],
        "gold_count": dashboard.gold_count(project),
    }
    return page(request, "labeling/people.html", workspace, "labeling", **context)


def _number(request: MemberRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UserError("form.invalid", "{field}: {reason}", status=422, field=name, reason=_("Enter a whole number."))
    return int(text)


@require_POST
@workspace_page()
def role_set(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    person = _number(request, "user")
    people.set_role(user=request.user, project_id=project.pk, person=person, role=request.POST.get("role", ""))
    return redirect("label_people", workspace.slug, project.pk)


@require_POST
@workspace_page()
def tasks_assign(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    made = people.assign(
        user=request.user, project_id=project.pk, person=_number(request, "user"), count=_number(request, "count")
    )
    messages.success(request, ngettext("%(n)s task is reserved.", "%(n)s tasks are reserved.", made) % {"n": made})
    return redirect("label_people", workspace.slug, project.pk)


@require_POST
@workspace_page()
def tasks_unassign(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    freed = people.unassign(user=request.user, project_id=project.pk, person=_number(request, "user"))
    messages.success(request, ngettext("%(n)s task is free again.", "%(n)s tasks are free again.", freed) % {"n": freed})
    return redirect("label_people", workspace.slug, project.pk)


@require_POST
@workspace_page()
def person_resume(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    gold.resume(user=request.user, project_id=project.pk, person=_number(request, "user"))
    return redirect("label_people", workspace.slug, project.pk)


@require_POST
@workspace_page()
def gold_make(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    made = gold.make_gold_from_data(user=request.user, project_id=project.pk, count=_number(request, "count"))
    messages.success(request, ngettext("%(n)s gold question.", "%(n)s gold questions.", made) % {"n": made})
    return redirect("label_people", workspace.slug, project.pk)


@require_POST
@workspace_page()
def task_gold(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """Make the record of one annotation a gold question with just this answer, or an ordinary one again."""
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    found = Annotation.objects.filter(pk=_number(request, "annotation"), project=project, is_current=True).first()
    if found is None:
        raise NotFound
    is_made = request.POST.get("gold") == "1"
    gold.set_gold(user=request.user, task_id=found.task_id, value=found.value if is_made else None)
    messages.success(request, _("This is a gold question now.") if is_made else _("This is an ordinary record again."))
    return redirect("label_project", workspace.slug, project.pk)


@require_safe
@workspace_page()
def review_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    context = {
        **_frame(request, project, "review"),
        "mode": "review",
        "waiting": reviewing.waiting(project),
        "next_url": f"/api/v1/label-projects/{project.pk}/reviews/next",
        "submit_url": "/api/v1/tasks/{id}/review",
    }
    return page(request, "labeling/deciding.html", workspace, "labeling", **context)


@require_safe
@workspace_page()
def disputes_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """All disputed tasks, or with ?task= the answers to that one side by side."""
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    next_url = f"/api/v1/label-projects/{project.pk}/disputes/next"
    asked = request.GET.get("task", "")
    if asked.isascii() and asked.isdigit():
        task = access_task(request.user, int(asked), role=Role.REVIEWER)
        if task.project_id != project.pk:
            raise NotFound
        next_url = f"/api/v1/tasks/{task.pk}/dispute"
    context = {
        **_frame(request, project, "disputes"),
        "mode": "adjudicate",
        "waiting": adjudicating.waiting(project),
        "next_url": next_url,
        "submit_url": "/api/v1/tasks/{id}/adjudication",
    }
    return page(request, "labeling/deciding.html", workspace, "labeling", **context)


@require_safe
@workspace_page()
def agreement_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    report = reporting.agreement_report(user=request.user, project_id=project.pk)
    for field in report["fields"]:
        for figure in [*field["figures"], *field["pairs"]]:
            figure["title"] = FIGURE_NAMES[figure["name"]]
    return page(request, "labeling/agreement.html", workspace, "labeling", report=report, **_frame(request, project, "agreement"))


@require_safe
@workspace_page()
def dashboard_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    context = {
        **_frame(request, project, "dashboard"),
        "numbers": dashboard.numbers(project),
        "saving": dashboard.saving(project),
        "counted": [field for field in project.schema["fields"] if field["type"] in queries.COUNTED],
        "deployments": usable_deployments(request.user).filter(workspace=workspace, health=Health.READY).order_by("name"),
        "sources": PredictionSource.objects.filter(project=project).order_by("-pk")[:20],
    }
    return page(request, "labeling/dashboard.html", workspace, "labeling", charts=True, **context)


@require_safe
@workspace_page()
def dashboard_figure(request: MemberRequest, workspace: Workspace, project_id: int, name: str) -> JsonResponse:
    project = project_of(request, workspace, project_id, Role.REVIEWER)
    draw = dashboard.FIGURES.get(name)
    if draw is None:
        raise NotFound
    return JsonResponse(draw(project))


@require_POST
@workspace_page()
def tasks_reorder(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """The tasks about which the newest model is least sure come first."""
    project = project_of(request, workspace, project_id, Role.MANAGER)
    placed = predicting.order_by_uncertainty(user=request.user, project_id=project.pk)
    messages.success(request, _("%(n)s tasks are in a new order, the least sure ones first.") % {"n": placed})
    return redirect(reverse("label_dashboard", args=[workspace.slug, project.pk]))


@require_POST
@workspace_page()
def prelabel_start(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    job = prelabeling.start_prelabel(
        user=request.user,
        project_id=project.pk,
        deployment_id=_number(request, "deployment"),
        limit=_number(request, "limit"),
        reorder_after=request.POST.get("reorder") == "1",
    )
    return redirect("job", workspace.slug, job.pk)


@require_safe
@workspace_page()
def webhooks_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    hooks = [
        (hook, webhooks.list_deliveries(user=request.user, webhook_id=hook.pk, limit=DELIVERIES_SHOWN).items)
        for hook in webhooks.list_webhooks(user=request.user, project_id=project.pk)
    ]
    context = {**_frame(request, project, "webhooks"), "hooks": hooks, "events": webhooks.EVENTS}
    return page(request, "labeling/webhooks.html", workspace, "labeling", **context)


@require_POST
@workspace_page()
def webhook_add(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    events = request.POST.getlist("events") or list(webhooks.EVENTS)
    webhooks.add_webhook(user=request.user, project_id=project.pk, url=request.POST.get("url", ""), events=events)
    return redirect("label_webhooks", workspace.slug, project.pk)


@require_POST
@workspace_page()
def webhook_delete(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    webhook = webhooks.access_webhook(request.user, _number(request, "webhook"))
    if webhook.project_id != project.pk:
        raise NotFound
    webhooks.delete_webhook(user=request.user, webhook_id=webhook.pk)
    return redirect("label_webhooks", workspace.slug, project.pk)


@require_POST
@workspace_page()
def delivery_again(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    webhooks.send_again(user=request.user, delivery_id=_number(request, "delivery"))
    return redirect("label_webhooks", workspace.slug, project.pk)

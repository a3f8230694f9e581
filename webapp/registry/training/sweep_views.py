"""Pages of sweeps: starting one from the training form, the list, one sweep with its table and parallel coordinates."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, translate
from webapp.core.paging import paginate
from webapp.registry.models import Sweep
from webapp.registry.training import forms, sweeps
from webapp.registry.training.spec_fields import label_of
from webapp.registry.training.views import asker, form_context

AXES = range(3)


def posted_axes(request: HttpRequest) -> dict[str, str]:
    """Setting → values as written, from the numbered fields of the form."""
    pairs = ((request.POST.get(f"axis_{number}", ""), request.POST.get(f"values_{number}", "")) for number in AXES)
    return {path: text for path, text in pairs if path and text.strip()}


@require_POST
@workspace_page(role=Role.MANAGER)
def sweep_new(request: HttpRequest, workspace: Workspace, kind: str) -> HttpResponse:
    """From the training form: its settings, and the values to try."""
    form = forms.TrainingForm(workspace, kind, request.POST)
    try:
        sweep = sweeps.start_sweep(
            user=asker(request),
            slug=workspace.slug,
            kind=kind,
            values=form.values(),
            axes=posted_axes(request),
            order=request.POST.get("order", "grid"),
            count=max(1, forms.number(request.POST.get("count")) or 8),
        )
        return redirect("training_sweep", workspace.slug, sweep.pk)
    except ValidationError as error:
        form.mark(error)
    except UserError as error:
        form.errors.append(translate(error.template, error.params))
    response = page(request, "training/new.html", workspace, "training", **form_context(form, kind, request.POST))
    response.status_code = 422
    return response


@require_safe
@workspace_page()
def sweep_list(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    found = paginate(sweeps.workspace_sweeps(workspace), cursor=request.GET.get("cursor"), limit=30)
    rows = [(sweep, [(label_of(path), values) for path, values in sweep.axes.items()]) for sweep in found.items]
    return page(request, "training/sweeps.html", workspace, "training", sweeps=found, rows=rows, tabs=forms.tab_labels())


def find_sweep(request: HttpRequest, workspace: Workspace, sweep_id: int, role: str = Role.VIEWER) -> Sweep:
    user: User = asker(request)
    sweep = sweeps.access_sweep(user, sweep_id, role=role)
    if sweep.workspace_id != workspace.pk:
        raise NotFound
    return sweep


@require_safe
@workspace_page()
def sweep_page(request: HttpRequest, workspace: Workspace, sweep_id: int) -> HttpResponse:
    sweep = find_sweep(request, workspace, sweep_id)
    found = sweeps.table(sweep)
    context: dict[str, Any] = {
        "sweep": sweep,
        "table": found,
        "numbers": ",".join(str(row.job.pk) for row in found.rows[:8]),
        "may_manage": may(asker(request), workspace, Role.MANAGER),
    }
    if request.headers.get("HX-Request"):
        return render(request, "training/_sweep.html", {"workspace": workspace, **context})
    return page(request, "training/sweep.html", workspace, "training", charts=True, **context)


@require_safe
@workspace_page()
def sweep_figure(request: HttpRequest, workspace: Workspace, sweep_id: int) -> HttpResponse:
    found = sweeps.table(find_sweep(request, workspace, sweep_id))
    outcome = gettext("held-out reward") if found.measure == "held_out_reward" else gettext("held-out loss")
    return JsonResponse(sweeps.parallel_figure(found, outcome))


@require_POST
@workspace_page(role=Role.MANAGER)
def sweep_cancel(request: HttpRequest, workspace: Workspace, sweep_id: int) -> HttpResponse:
    sweep = find_sweep(request, workspace, sweep_id, Role.MANAGER)
    sweeps.cancel_sweep(user=asker(request), sweep_id=sweep.pk)
    return redirect("training_sweep", workspace.slug, sweep.pk)

"""Pages of training: the list of runs, the form, what a run shows live, and the comparison of runs."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from pydantic import ValidationError

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, translate
from webapp.core.paging import paginate
from webapp.jobs.access import access_job
from webapp.jobs.models import Job, MetricPoint
from webapp.registry.starter import is_offered
from webapp.registry.training import figures, forms, lighter, notes, runs, services, sweeps, throughput
from webapp.registry.training.checks import check_version, what_is_needed
from webapp.registry.training.hardest import hardest
from webapp.registry.training.previews import left_out, preview
from webapp.registry.training.reading import read_curves
from webapp.registry.training.side_by_side import last_answers


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@require_safe
@workspace_page()
def run_list(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    kind, tag = request.GET.get("kind", ""), request.GET.get("tag", "").strip().lower()
    found = paginate(runs.workspace_runs(workspace, kind, tag), cursor=request.GET.get("cursor"), limit=30)
    context = {
        "runs": found,
        "kind": kind,
        "tag": tag,
        "tags": notes.workspace_tags(workspace),
        "tabs": forms.tab_labels(),
        "may_manage": may(asker(request), workspace, Role.MANAGER),
    }
    template = "training/_runs.html" if request.headers.get("HX-Request") else "training/list.html"
    if template.startswith("training/_"):
        return render(request, template, {"workspace": workspace, **context})
    return page(request, template, workspace, "training", **context)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def run_new(request: HttpRequest, workspace: Workspace, kind: str) -> HttpResponse:
    """The form of one kind of run; everything is filled in sensibly, so that Start works at once."""
    given = forms.with_recipe(request.POST if request.method == "POST" else request.GET)
    if (origin := forms.number(request.GET.get("from"))) is not None:
        given = {**forms.as_given(find_run(request, workspace, origin), kind), **given}
    form = forms.TrainingForm(workspace, kind, given)
    status = 200
    if request.method == "POST" and "apply" not in request.POST:
        try:
            job = services.start_from_form(
                user=asker(request),
                slug=workspace.slug,
                kind=kind,
                values=form.values(),
                idempotency_key=request.POST.get("idempotency_key") or None,
            )
            return redirect("job", workspace.slug, job.pk)
        except ValidationError as error:
            form.mark(error)
            status = 422
        except UserError as error:
            form.errors.append(translate(error.template, error.params))
            status = 422
    offered = form.missing == "models" and is_offered(workspace)
    response = page(request, "training/new.html", workspace, "training", starter=offered, **form_context(form, kind, given))
    response.status_code = status
    return response


def form_context(form: forms.TrainingForm, kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """For `training/new.html`; `given` keeps what was written for a sweep."""
    axes = [
        {"number": number, "path": given.get(f"axis_{number}", ""), "values": given.get(f"values_{number}", "")}
        for number in range(3)
    ]
    return {
        "form": form,
        "kind": kind,
        "tabs": forms.tab_labels(),
        "idempotency_key": uuid.uuid4().hex,
        "axes": axes,
        "axes_used": any(axis["values"] for axis in axes),
        "sweep_count": given.get("count") or "8",
        "sweep_order": given.get("order") or "grid",
        "settings_to_try": sweeps.settings_to_try(kind),
    }


@require_safe
@workspace_page()
def run_check(request: HttpRequest, workspace: Workspace, kind: str) -> HttpResponse:
    """What the chosen dataset gives the method: usable or not and why, and a first example with its mask."""
    services.spec_class(kind)
    context: dict[str, Any] = {"workspace": workspace, "kind": kind}
    version_id, base_id = forms.number(request.GET.get("datasets")), forms.number(request.GET.get("base_model"))
    if version_id is not None:
        try:
            version = services.usable_version(asker(request), workspace, version_id)
            needed = what_is_needed(kind, request.GET.get("loss", ""))
            check, looked = check_version(version, needed), None
            if kind in services.TUNING and base_id is not None:
                looked = preview(
                    asker(request),
                    workspace,
                    version,
                    base_id,
                    kind=needed,
                    instruction=request.GET.get("instruction") or None,
                    system_prompt=request.GET.get("system_prompt") or None,
                    max_length=forms.number(request.GET.get("max_length")),
                )
            unfit = left_out(check, looked)
            usable = check.seen - sum(item.count for item in unfit)
            context |= {"version": version, "check": check, "preview": looked, "left_out": unfit, "usable": usable}
        except UserError as error:
            context["error"] = translate(error.template, error.params)
    return render(request, "training/_check.html", context)


def axis_of(request: HttpRequest) -> str:
    axis = request.GET.get("x", "step")
    return axis if axis in figures.AXES else "step"


def find_run(request: HttpRequest, workspace: Workspace, job_id: int) -> Job:
    job = access_job(asker(request), job_id)
    if job.workspace_id != workspace.pk or job.kind not in runs.RUN_KINDS:
        raise NotFound
    return job


@require_safe
@workspace_page()
def run_figure(request: HttpRequest, workspace: Workspace, job_id: int, name: str) -> HttpResponse:
    if name not in figures.FIGURES:
        raise NotFound
    return JsonResponse(figures.run_figure(find_run(request, workspace, job_id), name, axis_of(request)))


@require_safe
@workspace_page()
def run_examples(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """The part of a run's page that changes while it runs, besides the curves."""
    job = find_run(request, workspace, job_id)
    return render(request, "training/_examples.html", {"workspace": workspace, "job": job, **runs.run_context(job)})


@require_safe
@workspace_page()
def run_reading(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """What the curves say, while they grow."""
    job = find_run(request, workspace, job_id)
    context = {"workspace": workspace, "job": job, "hints": read_curves(job)}
    return render(request, "training/_reading.html", {**context, "may_act": may(asker(request), workspace, Role.MANAGER)})


@require_safe
@workspace_page()
def run_advice(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """The way on after running out of memory, for those who watched it happen."""
    job = find_run(request, workspace, job_id)
    context = {"workspace": workspace, "job": job, "advice": lighter.advice(job)}
    return render(request, "training/_advice.html", {**context, "may_act": may(asker(request), workspace, Role.MANAGER)})


@require_safe
@workspace_page()
def run_hardest(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """The held-out examples with the highest loss, once the run has ended."""
    job = find_run(request, workspace, job_id)
    return render(request, "training/_hardest.html", {"workspace": workspace, "rows": hardest(job)})


def chosen_runs(request: HttpRequest, workspace: Workspace) -> list[Job]:
    given = ",".join(request.GET.getlist("runs")).split(",")
    numbers = [int(text) for text in given if text.isdigit() and len(text) < 18]
    if not numbers:
        raise UserError("train.nothing_to_compare", "No run is chosen; tick the runs to compare in the list.", status=422)
    return runs.access_runs(workspace, numbers)


def comparison_figures(chosen: list[Job]) -> list[tuple[str, str]]:
    """(name, title) of the charts that these runs have points for."""
    known = {
        "loss": gettext("Loss"),
        "accuracy": gettext("Share right"),
        "reward": gettext("Reward"),
        "tokens_per_second": gettext("Tokens per second"),
        "grad_norm": gettext("Gradient norm"),
        "learning_rate": gettext("Learning rate"),
    }
    there = set(MetricPoint.objects.filter(job__in=chosen, name__in=known).values_list("name", flat=True).distinct())
    return [(name, title) for name, title in known.items() if name in there or name == "loss"]


@require_safe
@workspace_page()
def compare(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    chosen = chosen_runs(request, workspace)
    settings = runs.settings_difference(chosen)
    context = {
        "runs": chosen,
        "numbers": ",".join(str(job.pk) for job in chosen),
        "differing": [row for row in settings if row[2]],
        "common": [row for row in settings if not row[2]],
        "questions": last_answers(chosen),
        "outcomes": runs.outcomes(chosen),
        "figures": comparison_figures(chosen),
    }
    return page(request, "training/compare.html", workspace, "training", charts=True, **context)


@require_safe
@workspace_page()
def compare_figure(request: HttpRequest, workspace: Workspace, name: str) -> HttpResponse:
    if name not in figures.FIGURES:
        raise NotFound
    return JsonResponse(figures.comparison_figure(chosen_runs(request, workspace), name, axis_of(request)))


@require_safe
@workspace_page()
def run_throughput(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """How fast one's own runs were, and how they scale over devices."""
    found = throughput.paces(workspace)
    context = {"paces": found[: throughput.SHOWN], "groups": throughput.efficiencies(found)}
    return page(request, "training/throughput.html", workspace, "training", charts=True, **context)


@require_safe
@workspace_page()
def run_throughput_figure(request: HttpRequest, workspace: Workspace, name: str) -> HttpResponse:
    if name not in throughput.FIGURES:
        raise NotFound
    return JsonResponse(throughput.FIGURES[name](throughput.paces(workspace)))


@require_POST
@workspace_page(role=Role.ANNOTATOR)
def run_note(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    job = find_run(request, workspace, job_id)
    notes.write_note(user=asker(request), job_id=job.pk, text=request.POST.get("text", ""), tags=request.POST.get("tags", ""))
    return redirect("job", workspace.slug, job.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def run_lighter(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """After running out of memory: the next recipe down."""
    job = lighter.start_lighter(user=asker(request), job_id=find_run(request, workspace, job_id).pk)
    return redirect("job", workspace.slug, job.pk)

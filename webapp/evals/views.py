"""Pages of evaluation: overview, leaderboards, one evaluation, its samples one by one."""

import csv
import io
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from pydantic import ValidationError

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, error_html, translate
from webapp.evals import figures, queries, services
from webapp.evals.access import access_evaluation, access_suite
from webapp.evals.forms import SuiteForm
from webapp.evals.models import Evaluation, EvaluationState, Suite
from webapp.registry.queries import ready_models
from webapp.registry.services import ANSWERING

SUITES_SHOWN = 30
MODELS_OFFERED = 100
RUNNING_SHOWN = 20


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


def find_suite(request: HttpRequest, workspace: Workspace, suite_id: int, role: str = Role.VIEWER) -> Suite:
    suite = access_suite(asker(request), suite_id, role=role)
    if suite.workspace_id != workspace.pk:
        raise NotFound
    return suite


def find_evaluation(request: HttpRequest, workspace: Workspace, evaluation_id: int, role: str = Role.VIEWER) -> Evaluation:
    evaluation = access_evaluation(asker(request), evaluation_id, role=role)
    if evaluation.workspace_id != workspace.pk:
        raise NotFound
    return evaluation


def number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 18 else None


@require_safe
@workspace_page()
def overview(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """Models × suites, what runs now, and the form of a new suite."""
    suites = list(Suite.objects.filter(workspace=workspace).select_related("version__dataset").order_by("-pk")[:SUITES_SHOWN])
    model = number(request.GET.get("model"))
    manage = may(asker(request), workspace, Role.MANAGER)
    context = {
        "suites": suites,
        "matrix": queries.matrix(workspace, suites),
        "running": running_evaluations(workspace),
        "model": ready_models(workspace, ANSWERING).filter(pk=model).first() if model else None,
        "may_manage": manage,
        "form": SuiteForm(workspace, initial={"version": number(request.GET.get("dataset"))}) if manage else None,
    }
    if request.headers.get("HX-Request"):
        return render(request, "evals/_overview.html", {"workspace": workspace, **context})
    return page(request, "evals/overview.html", workspace, "evaluations", **context)


def problem_with(error: ValidationError) -> str:
    """The first thing wrong with a suite's settings."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return translate("The field “{field}” is not right: {reason}.", {"field": field, "reason": first["msg"]})


def running_evaluations(workspace: Workspace, suite: Suite | None = None) -> list[Evaluation]:
    found = Evaluation.objects.filter(workspace=workspace, state=EvaluationState.RUNNING)
    if suite is not None:
        found = found.filter(suite=suite)
    return list(found.select_related("model", "suite", "job").defer(*queries.HEAVY).order_by("-pk")[:RUNNING_SHOWN])


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def suite_new(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    form = SuiteForm(
        workspace, request.POST if request.method == "POST" else None, initial={"version": number(request.GET.get("dataset"))}
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            suite = services.create_suite(
                user=asker(request),
                slug=workspace.slug,
                version_id=given["version"].pk,
                name=given["name"],
                config=form.config(),
            )
            return redirect("suite", workspace.slug, suite.pk)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
        except ValidationError as error:
            form.add_error(None, problem_with(error))
    return page(request, "evals/suite_new.html", workspace, "evaluations", form=form)


@require_safe
@workspace_page()
def suite_page(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    """The leaderboard of a suite and the form that runs it on models."""
    suite = find_suite(request, workspace, suite_id)
    rows = queries.leaderboard(suite)
    context: dict[str, Any] = {"suite": suite, "rows": rows, "running": running_evaluations(workspace, suite)}
    if request.headers.get("HX-Request"):
        return render(request, "evals/_leaderboard.html", {"workspace": workspace, **context})
    known = {row.evaluation.model_id for row in rows} | {item.model_id for item in context["running"]}
    context |= {
        "offered": [(model, model.pk not in known) for model in ready_models(workspace, ANSWERING)[:MODELS_OFFERED]],
        "asked": number(request.GET.get("model")),
        "failed": suite.evaluations.filter(state=EvaluationState.FAILED).select_related("model", "job").order_by("-pk")[:5],
        "may_manage": may(asker(request), workspace, Role.MANAGER),
    }
    return page(request, "evals/suite.html", workspace, "evaluations", charts=True, **context)


@require_safe
@workspace_page()
def suite_figure(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    return JsonResponse(figures.forest(queries.leaderboard(find_suite(request, workspace, suite_id))))


@require_safe
@workspace_page()
def suite_csv(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    """The leaderboard as CSV, with a byte-order mark so that spreadsheets read the names."""
    suite = find_suite(request, workspace, suite_id)
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(
        [
            "rank",
            "model",
            "score",
            "low",
            "high",
            "n",
            "seconds",
            "tokens_per_second",
            "base",
            "difference_to_base",
            "p",
            "verdict",
        ]
    )
    for row in queries.leaderboard(suite):
        item, against = row.evaluation, row.against_base
        writer.writerow(
            [row.rank, safe_cell(row.model.name), item.score, item.low, item.high, item.count, item.seconds]
            + [row.tokens_per_second, safe_cell(row.base.name) if row.base else ""]
            + ([against.difference, against.p, against.verdict] if against else ["", "", ""])
        )
    response = HttpResponse("\ufeff" + output.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="leaderboard-{suite.pk}.csv"'
    return response


def safe_cell(text: str) -> str:
    """A name that a spreadsheet would take for a formula is shown as text."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


@require_POST
@workspace_page(role=Role.MANAGER)
def suite_run(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    suite = find_suite(request, workspace, suite_id, Role.MANAGER)
    chosen = [value for text in request.POST.getlist("models") if (value := number(text)) is not None]
    services.run_evaluations(user=asker(request), suite_id=suite.pk, model_ids=chosen)
    return redirect("suite", workspace.slug, suite.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def suite_edit(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    suite = find_suite(request, workspace, suite_id, Role.MANAGER)
    services.update_suite(
        user=asker(request),
        suite_id=suite.pk,
        name=request.POST.get("name", ""),
        description=request.POST.get("description", ""),
    )
    return redirect("suite", workspace.slug, suite.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def suite_delete(request: HttpRequest, workspace: Workspace, suite_id: int) -> HttpResponse:
    suite = find_suite(request, workspace, suite_id, Role.MANAGER)
    services.delete_suite(user=asker(request), suite_id=suite.pk)
    messages.success(request, gettext("“%(name)s” was deleted.") % {"name": suite.name})
    return redirect("evaluations", workspace.slug)


@require_safe
@workspace_page()
def evaluation_page(request: HttpRequest, workspace: Workspace, evaluation_id: int) -> HttpResponse:
    evaluation = find_evaluation(request, workspace, evaluation_id)
    summary = evaluation.summary
    labels = sorted((summary.get("by_label") or {}).items(), key=lambda item: item[1]["correct"] / max(item[1]["n"], 1))
    context = {
        "evaluation": evaluation,
        "suite": evaluation.suite,
        "summary": summary,
        "error": error_html(evaluation.error.get("template", ""), evaluation.error.get("params", {})),
        "answered": any(entry.get("predicted") for _name, entry in labels),
        "labels": [(name, entry, entry["correct"] / entry["n"] if entry["n"] else None) for name, entry in labels],
        "others": others(evaluation),
        "may_manage": may(asker(request), workspace, Role.MANAGER),
    }
    return page(request, "evals/evaluation.html", workspace, "evaluations", **context)


def others(evaluation: Evaluation) -> list[Evaluation]:
    """Finished evaluations of the same suite, to compare with."""
    found = queries.latest_done(Evaluation.objects.filter(suite=evaluation.suite_id))
    return list(found.exclude(pk=evaluation.pk).defer(*queries.HEAVY))


@require_safe
@workspace_page()
def evaluation_samples(request: HttpRequest, workspace: Workspace, evaluation_id: int) -> HttpResponse:
    """Samples one by one, beside those of a second model if one is chosen."""
    evaluation = find_evaluation(request, workspace, evaluation_id)
    show, wanted = request.GET.get("show", ""), number(request.GET.get("other"))
    available = others(evaluation)
    other = next((item for item in available if item.pk == wanted), None)
    samples = queries.filtered_samples(evaluation, show, other)
    place = queries.place_of(samples, number(request.GET.get("position")))
    context: dict[str, Any] = {
        "evaluation": evaluation,
        "suite": evaluation.suite,
        "other": other,
        "others": available,
        "show": show,
        "place": place,
        "columns": _columns(evaluation, other, place),
    }
    return page(request, "evals/samples.html", workspace, "evaluations", **context)


def _columns(evaluation: Evaluation, other: Evaluation | None, place: queries.Place | None) -> list[dict[str, Any]]:
    """What each model made of the question: its sample and its choices."""
    if place is None:
        return []
    columns = [{"evaluation": evaluation, "sample": place.sample, "choices": queries.choices_of(place.sample, evaluation)}]
    if other is not None:
        theirs = other.samples.filter(position=place.sample.position).first()
        if theirs is not None:
            columns.append({"evaluation": other, "sample": theirs, "choices": queries.choices_of(theirs, other)})
    return columns


@require_POST
@workspace_page(role=Role.MANAGER)
def evaluation_delete(request: HttpRequest, workspace: Workspace, evaluation_id: int) -> HttpResponse:
    evaluation = find_evaluation(request, workspace, evaluation_id, Role.MANAGER)
    services.delete_evaluation(user=asker(request), evaluation_id=evaluation.pk)
    return redirect("suite", workspace.slug, evaluation.suite_id)

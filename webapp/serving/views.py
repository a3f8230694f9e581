"""Pages of deployments: the list, Deploy on a model, and the page of one with its figures, snippets and try-it box."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.access import access_owned, may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError
from webapp.core.paging import paginate
from webapp.registry.lineage import ancestors
from webapp.registry.models import Model
from webapp.serving import accounting, engines, queries, services
from webapp.serving.access import access_deployment
from webapp.serving.forms import DeployForm, spec_rows
from webapp.serving.models import Deployment, Health
from webapp.serving.refusals import refusal
from webapp.serving.upstream import find_upstream

ACTIONS: dict[str, Callable[..., Deployment]] = {
    "start": services.start_deployment,
    "stop": services.stop_deployment,
    "restart": services.restart_deployment,
}
TRY_TOKENS = 200
TRY_SECONDS = 120


@require_safe
@workspace_page()
def deployments(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The list; `?model=7` (a model's Deploy link) goes on to deploying that one."""
    if request.GET.get("model", "").isdigit():
        return redirect("deploy_model", workspace.slug, int(request.GET["model"]))
    found = paginate(queries.workspace_deployments(workspace), cursor=request.GET.get("cursor"), limit=50)
    today = queries.tokens_today(workspace)
    context = {
        "rows": [(row, today.get(row.pk), queries.error_shown(row)) for row in found.items],
        "next_cursor": found.next_cursor,
        "may_act": may(request.user, workspace, Role.MANAGER),  # type: ignore[arg-type]
    }
    if request.headers.get("HX-Request"):
        return render(request, "serving/_table.html", {"workspace": workspace, **context})
    return page(request, "serving/list.html", workspace, "deployments", **context)


@workspace_page(role=Role.MANAGER)
def deploy_model(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    """GET: what can be chosen. POST: deploy, with nothing filled in too."""
    model = access_owned(request.user, Model, model_id)  # type: ignore[arg-type]
    form = DeployForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        made = services.create_deployment(
            user=request.user,  # type: ignore[arg-type]
            workspace=workspace.slug,
            spec=form.spec(model.pk),
            name=form.cleaned_data["name"],
        )
        return redirect("deployment", workspace.slug, made.pk)
    engines.require_servable(model)
    context = {"model": model, "form": form}
    response = page(request, "serving/deploy.html", workspace, "deployments", **context)
    response.status_code = 422 if form.errors else 200
    return response


def _opened(request: HttpRequest, workspace: Workspace, deployment_id: int) -> Deployment:
    deployment = access_deployment(request.user, deployment_id)  # type: ignore[arg-type]
    if deployment.workspace_id != workspace.pk:
        raise NotFound
    return deployment


def _context(request: HttpRequest, workspace: Workspace, deployment_id: int) -> dict[str, Any]:
    deployment = _opened(request, workspace, deployment_id)
    return {
        "workspace": workspace,
        "deployment": deployment,
        "model": deployment.model,
        "error": queries.error_shown(deployment),
        "metrics": queries.engine_metrics(deployment),
        "may_act": may(request.user, workspace, Role.MANAGER),  # type: ignore[arg-type]
    }


@require_safe
@workspace_page()
def deployment(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    context = _context(request, workspace, deployment_id)
    if request.headers.get("HX-Request"):
        return render(request, "serving/_status.html", context)
    opened: Deployment = context["deployment"]
    context |= {
        "base_url": request.build_absolute_uri("/v1"),
        "generations": ancestors(opened.model),
        "log": engines.read_log(opened.pk),
        "spec": [] if opened.is_remote else spec_rows(opened.spec),
        "topic": f"deployment.{opened.pk}",
    }
    context.pop("workspace")
    return page(request, "serving/deployment.html", workspace, "deployments", charts=True, **context)


@require_safe
@workspace_page()
def deployment_badge(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    context = {"workspace": workspace, "deployment": _opened(request, workspace, deployment_id)}
    return render(request, "serving/_badge.html", context)


@require_safe
@workspace_page()
def deployment_metrics(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    return render(request, "serving/_metrics.html", _context(request, workspace, deployment_id))


@require_safe
@workspace_page()
def deployment_log(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    """The log's tail as a fragment; `?raw=1` downloads the file."""
    opened = _opened(request, workspace, deployment_id)
    if request.GET.get("raw"):
        path = engines.log_file(opened.pk)
        if not path.exists():
            raise NotFound
        disposition = content_disposition_header(as_attachment=True, filename=f"{opened.name}.log") or "attachment"
        return HttpResponse(path.read_bytes(), content_type="text/plain", headers={"Content-Disposition": disposition})
    return render(request, "serving/_log.html", {"log": engines.read_log(opened.pk)})


@require_safe
@workspace_page()
def deployment_usage(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    return JsonResponse(queries.usage_figure(_opened(request, workspace, deployment_id)))


@require_POST
@workspace_page(role=Role.MANAGER)
def deployment_action(request: HttpRequest, workspace: Workspace, deployment_id: int, action: str) -> HttpResponse:
    if action not in ACTIONS:
        raise NotFound
    opened = _opened(request, workspace, deployment_id)
    ACTIONS[action](user=request.user, deployment_id=opened.pk)
    return redirect("deployment", workspace.slug, opened.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def deployment_delete(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    opened = _opened(request, workspace, deployment_id)
    services.delete_deployment(user=request.user, deployment_id=opened.pk)  # type: ignore[arg-type]
    return redirect("deployments", workspace.slug)


@require_POST
@workspace_page()
def deployment_try(request: HttpRequest, workspace: Workspace, deployment_id: int) -> HttpResponse:
    """One question to the engine, answered on the page."""
    opened = _opened(request, workspace, deployment_id)
    text = request.POST.get("message", "").strip()
    if not text:
        raise UserError("chat.empty_message", "The message is empty; write something first.")
    started = time.monotonic()
    answer = _ask(opened, text[:20_000])
    seconds = time.monotonic() - started
    usage = answer.get("usage", {})
    accounting.record(opened.pk, None, accounting.Counts(1, 0, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)))
    content = answer["choices"][0]["message"].get("content") or ""
    return render(request, "serving/_answer.html", {"content": content, "usage": usage, "seconds": seconds})


def _ask(deployment: Deployment, text: str) -> dict[str, Any]:
    not_there = UserError(
        "deployment.not_ready", "“{name}” does not answer now; wait until it is ready.", status=503, name=deployment.name
    )
    if deployment.state != Health.READY:
        raise not_there
    there = find_upstream(deployment)
    body = {
        "model": there.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TRY_TOKENS,
    }
    try:
        response = there.ask(body, TRY_SECONDS)
        told: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise not_there from error
    if not response.is_success:
        said = told.get("error")
        said = said if isinstance(said, dict) else {"message": str(said)}
        raise refusal({**said, "message": there.without_key(str(said.get("message", "")))}, deployment.name)
    return told

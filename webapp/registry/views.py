"""Pages of models: families on a time line, the model card, import, endpoints, export."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, error_html, translate
from webapp.core.streaming import send_file
from webapp.jobs import paths
from webapp.jobs.access import access_job
from webapp.jobs.models import Job, State
from webapp.registry import card, lineage, queries, services, starter
from webapp.registry.access import access_model
from webapp.registry.forms import EndpointForm, ImportForm, ModelForm
from webapp.registry.models import Model, ModelKind
from webapp.registry.training.forms import tab_labels
from webapp.registry.training.runs import card_context


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


def find_model(request: HttpRequest, workspace: Workspace, model_id: int, role: str = Role.VIEWER) -> Model:
    model = access_model(asker(request), model_id, role=role)
    if model.workspace_id != workspace.pk:
        raise NotFound
    return model


@require_safe
@workspace_page()
def model_list(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    kind, search = request.GET.get("kind", ""), request.GET.get("q", "").strip()
    families = queries.families(workspace, kind=kind if kind in ModelKind.values else "", search=search)
    context = {
        "families": families,
        "kind": kind,
        "search": search,
        "kinds": ModelKind.choices,
        "may_manage": may(asker(request), workspace, Role.MANAGER),
        "starter": not families and starter.is_offered(workspace),
    }
    return page(request, "registry/list.html", workspace, "models", **context)


@require_safe
@workspace_page()
def model_page(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id)
    model = queries.workspace_models(workspace).get(pk=model.pk)
    descendants = lineage.descendants(model)
    context: dict[str, Any] = {
        "model": model,
        "error": error_html(model.error.get("template", ""), model.error.get("params", {})),
        "chat_template": card.template_text(model),
        "files": card.files(model),
        "ancestors": lineage.ancestors(model),
        "descendants": descendants,
        "scores": [node for node in descendants if node.kind == "evaluation"],
        "held": any(node.holds for node in descendants),
        "versions": queries.family_versions(model),
        "may_manage": may(asker(request), workspace, Role.MANAGER),
        "may_export": may(asker(request), workspace, Role.ANNOTATOR),
        "form": ModelForm(model, initial={**vars(model), "base": model.base_id, "languages": ", ".join(model.languages)}),
        **card_context(model),
    }
    return page(request, "registry/model.html", workspace, "models", charts=True, **context)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def model_import(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    form = ImportForm(request.POST if request.method == "POST" else None)
    bases = queries.ready_models(workspace, [ModelKind.BASE, ModelKind.TUNED])
    form.fields["base"].queryset = bases  # type: ignore[attr-defined]
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        base = given.pop("base")
        try:
            row = services.import_model(user=asker(request), slug=workspace.slug, base_id=base.pk if base else None, **given)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
        else:
            return redirect("model", workspace.slug, row.pk)
    context = {
        "form": form,
        "folders": services.importable_folders(),
        "roots": services.allowed_roots(),
        "starter": starter.is_offered(workspace),
    }
    return page(request, "registry/import.html", workspace, "models", **context)


@require_POST
@workspace_page(role=Role.MANAGER)
def model_starter(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    model = starter.add_starter(user=asker(request), slug=workspace.slug)
    if (kind := request.POST.get("then", "")) in tab_labels():
        return redirect("training_new", workspace.slug, kind)
    return redirect("model", workspace.slug, model.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def model_endpoint(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    form = EndpointForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            row = services.add_endpoint(user=asker(request), slug=workspace.slug, **form.cleaned_data)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
        else:
            return redirect("model", workspace.slug, row.pk)
    return page(request, "registry/endpoint.html", workspace, "models", form=form)


@require_POST
@workspace_page(role=Role.MANAGER)
def model_edit(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id, Role.MANAGER)
    form = ModelForm(model, request.POST)
    if not form.is_valid():
        raise UserError("model.no_name", "The model has no name; give it one.", status=422)
    services.update_model(user=asker(request), model_id=model.pk, **form.changes())
    return redirect("model", workspace.slug, model.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def model_key(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id, Role.MANAGER)
    services.replace_endpoint_key(user=asker(request), model_id=model.pk, key=request.POST.get("key", ""))
    messages.success(request, gettext("The key was replaced."))
    return redirect("model", workspace.slug, model.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def model_delete(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id, Role.MANAGER)
    services.delete_model(user=asker(request), model_id=model.pk)
    messages.success(request, gettext("“%(name)s” was deleted.") % {"name": model.name})
    return redirect("models", workspace.slug)


@require_POST
@workspace_page(role=Role.ANNOTATOR)
def model_export(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id)
    job = services.export_model(
        user=asker(request),
        model_id=model.pk,
        format=request.POST.get("format", "zip"),
        merge=bool(request.POST.get("merge")),
    )
    return redirect("job", workspace.slug, job.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def model_merge(request: HttpRequest, workspace: Workspace, model_id: int) -> HttpResponse:
    model = find_model(request, workspace, model_id, Role.MANAGER)
    job = services.merge_model(user=asker(request), model_id=model.pk)
    return redirect("job", workspace.slug, job.pk)


@require_safe
@workspace_page()
def model_export_file(request: HttpRequest, workspace: Workspace, job_id: int) -> HttpResponse:
    """The file that an export job made; a broken download goes on where it stopped."""
    job = access_job(asker(request), job_id)
    if job.workspace_id != workspace.pk:
        raise NotFound
    return exported_file(request, job)


def exported_file(request: HttpRequest, job: Job) -> HttpResponse:
    result = job.result or {}
    path = paths.output_dir(job.pk) / str(result.get("file", "-"))
    if job.kind != "export_model" or job.state != State.DONE or not path.is_file():
        raise NotFound
    content_type = "application/zip" if path.suffix == ".zip" else "application/octet-stream"
    digest = str(result.get("sha256", ""))
    return send_file(request, path, name=path.name, content_type=content_type, sha256=digest)  # type: ignore[return-value]

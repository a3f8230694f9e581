"""Pages of labelling: projects, one project with its figures, making one, and the place where people work."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, error_body, translate
from webapp.datasets.access import access_version
from webapp.datasets.figures import bars
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.datasets.queries import ready_versions
from webapp.datasets.requests import MemberRequest
from webapp.labeling import exports, forms, queries, services
from webapp.labeling.access import access_project, role_in, sees_everybody
from webapp.labeling.learning.showing import learning_context
from webapp.labeling.models import LabelProject
from webapp.labeling.wording import described_fields

RECENT = 12


def project_of(request: MemberRequest, workspace: Workspace, project_id: int, role: str = Role.VIEWER) -> LabelProject:
    project = access_project(request.user, project_id, role=role)
    if project.workspace_id != workspace.pk:
        raise NotFound
    return project


def _version(request: MemberRequest, workspace: Workspace, text: str | None) -> DatasetVersion:
    if not text or not text.isdecimal():
        raise NotFound
    version = access_version(request.user, int(text))
    if version.dataset.workspace_id != workspace.pk or version.state != VersionState.READY:
        raise NotFound
    return version


@require_safe
@workspace_page()
def project_list(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    found = queries.list_projects(user=request.user, slug=workspace.slug, cursor=request.GET.get("cursor"), limit=30)
    context = {
        "projects": found.items,
        "next_cursor": found.next_cursor,
        "may_manage": may(request.user, workspace, Role.MANAGER),
        "may_label": may(request.user, workspace, Role.ANNOTATOR),
    }
    if request.headers.get("HX-Request"):
        return render(request, "labeling/_list.html", {"workspace": workspace, **context})
    return page(request, "labeling/list.html", workspace, "labeling", **context)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def project_new(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    """First the version, then the questions, which are put together in the browser."""
    if request.method == "POST":
        return _try_to_create(request, workspace, _version(request, workspace, request.POST.get("version")))
    if not request.GET.get("version"):
        versions = ready_versions(user=request.user, slug=workspace.slug)
        return page(request, "labeling/choose.html", workspace, "labeling", versions=versions)
    version = _version(request, workspace, request.GET["version"])
    form = forms.NewProjectForm.for_version(version)
    return page(request, "labeling/new.html", workspace, "labeling", version=version, form=form)


def _try_to_create(request: MemberRequest, workspace: Workspace, version: DatasetVersion) -> HttpResponse:
    """The work page of the new project, or the form again; the builder shows an error at the question that it is about."""
    form = forms.NewProjectForm(request.POST)
    trouble = None
    if form.is_valid():
        try:
            return redirect("label_work", workspace.slug, _create(request, workspace, version, form.cleaned_data, form.flow()).pk)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
            trouble = error_body(error)["error"]
    context = {"version": version, "form": form, "trouble": trouble, "questions": form.cleaned_data.get("questions")}
    return page(request, "labeling/new.html", workspace, "labeling", **context)


def _create(
    request: MemberRequest, workspace: Workspace, version: DatasetVersion, values: dict[str, Any], flow: dict[str, Any]
) -> LabelProject:
    return services.create_project(
        user=request.user,
        slug=workspace.slug,
        version_id=version.pk,
        name=values["name"],
        schema=values["questions"],
        instructions=values["instructions"],
        overlap=values["overlap"],
        limit=values["limit"],
        flow=flow,
    )


@require_safe
@workspace_page()
def project_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id)
    recent = queries.recent_annotations(project, request.user, RECENT)
    everybody = sees_everybody(recent.role, project)
    context = {
        **frame(project, recent.role),
        "version": project.version,
        "fields": described_fields(project.schema),
        "choice_fields": [field for field in project.schema["fields"] if field["type"] in queries.COUNTED],
        "people": queries.contributions(project, only=None if everybody else request.user),
        "recent": recent.items,
        "everybody": everybody,
    }
    if request.headers.get("HX-Request"):
        return render(request, "labeling/_progress.html", {"workspace": workspace, **context})
    if context["may_review"]:
        context.update(learning_context(project, context["may_manage"]))
    forms_ = {
        "form": forms.ProjectForm(initial={"name": project.name, "instructions": project.instructions}),
        "flow_form": forms.FlowForm(initial=forms.FlowForm.initial_of(project), auto_id="flow_%s"),
    }
    return page(request, "labeling/project.html", workspace, "labeling", charts=True, **context, **forms_)


def frame(project: LabelProject, role: str) -> dict[str, Any]:
    """What the head of all pages of a project knows."""
    rank = Role.rank(role)
    return {
        "project": project,
        "may_manage": rank >= Role.rank(Role.MANAGER),
        "may_review": rank >= Role.rank(Role.REVIEWER),
        "may_label": rank >= Role.rank(Role.ANNOTATOR),
    }


@require_safe
@workspace_page()
def work_page(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.ANNOTATOR)
    return page(request, "labeling/work.html", workspace, "labeling", project=project)


@require_POST
@workspace_page()
def project_edit(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    values = forms.checked(forms.ProjectForm(request.POST))
    services.update_project(user=request.user, project_id=project.pk, **values)
    return redirect("label_project", workspace.slug, project_id)


@require_POST
@workspace_page()
def project_open(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """Close a project, or open it again."""
    project = project_of(request, workspace, project_id, Role.MANAGER)
    services.update_project(user=request.user, project_id=project.pk, is_open=request.POST.get("open") == "1")
    return redirect("label_project", workspace.slug, project_id)


@require_POST
@workspace_page()
def project_choice(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    field, value = request.POST.get("field", ""), request.POST.get("value", "")
    services.add_choice(user=request.user, project_id=project.pk, field=field, value=value)
    return redirect("label_project", workspace.slug, project_id)


@require_POST
@workspace_page()
def project_delete(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    project = project_of(request, workspace, project_id, Role.MANAGER)
    services.delete_project(user=request.user, project_id=project.pk)
    messages.success(request, _("“%(name)s” has been deleted.") % {"name": project.name})
    return redirect("labeling", workspace.slug)


@require_safe
@workspace_page()
def project_export(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponseBase:
    project = project_of(request, workspace, project_id)
    return exports.export_annotations(user=request.user, project_id=project.pk, format=request.GET.get("format", "jsonl"))


@require_POST
@workspace_page()
def project_version(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """The labelled records as a dataset version, ready for training."""
    project = project_of(request, workspace, project_id, Role.MANAGER)
    name = request.POST.get("dataset_name", "").strip()
    version = exports.create_labelled_version(user=request.user, project_id=project.pk, dataset_name=name)
    if version.count:  # a large one is still being made
        messages.success(
            request, _("%(count)s labelled records are now “%(name)s”.") % {"count": version.count, "name": str(version)}
        )
    return redirect("dataset_version", workspace.slug, version.pk)


@require_POST
@workspace_page()
def project_flow(request: MemberRequest, workspace: Workspace, project_id: int) -> HttpResponse:
    """Change how people work together."""
    project = project_of(request, workspace, project_id, Role.MANAGER)
    form = forms.FlowForm(request.POST)
    forms.checked(form)
    services.update_project(user=request.user, project_id=project.pk, flow=form.flow())
    return redirect("label_project", workspace.slug, project_id)


@require_safe
@workspace_page()
def project_figure(request: MemberRequest, workspace: Workspace, project_id: int, field: str) -> JsonResponse:
    """How often each choice or label was given; blind annotators do not get it."""
    project = project_of(request, workspace, project_id)
    counts = queries.label_distribution(project).get(field)
    if counts is None or not sees_everybody(role_in(request.user, project), project):
        raise NotFound
    shown = sorted(((value, count) for value, count in counts.items() if count), key=lambda pair: -pair[1])
    return JsonResponse(bars(dict(shown)))

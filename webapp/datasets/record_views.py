"""Pages of a version: its records under a filter, one record, what it is made of; and views that people saved."""

from itertools import islice
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound
from webapp.datasets import exports, figures, filtering, forms, media, queries, saved_views
from webapp.datasets.access import access_version
from webapp.datasets.lineage import ancestors, uses
from webapp.datasets.models import DatasetVersion, RecordRow, VersionState
from webapp.datasets.requests import MemberRequest
from workers.data.exporters import FORMATS, LABELS

SHOWN_ERRORS = 20
PAGE_ROWS = 50


def version_in(request: MemberRequest, workspace: Workspace, version_id: int) -> DatasetVersion:
    version = access_version(request.user, version_id)
    if version.dataset.workspace_id != workspace.pk:
        raise NotFound
    return version


def frame(request: MemberRequest, workspace: Workspace, version: DatasetVersion, tab: str) -> dict[str, Any]:
    """What every page of a version knows: its head, its tabs, its menus."""
    ready = version.state == VersionState.READY
    return {
        "version": version,
        "dataset": version.dataset,
        "tab": tab,
        "job": version.job,
        "may_manage": may(request.user, workspace, Role.MANAGER),
        "split_form": forms.SplitForm(),
        "formats": [(name, LABELS.get(name, name), losses) for name, losses in exports.export_losses(version).items()]
        if ready
        else [],
    }


@require_safe
@workspace_page()
def version_page(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """The records, filtered by what the address says; while it is being built, how far it has come."""
    version = version_in(request, workspace, version_id)
    if version.state != VersionState.READY:
        return _building(request, workspace, version)
    if request.headers.get("HX-Request"):
        answer = render(request, "datasets/_building.html", {"workspace": workspace, "version": version, "job": version.job})
        answer["HX-Refresh"] = "true"
        return answer
    wanted = filtering.from_query(request.GET)
    found = queries.page_of(version, wanted, cursor=request.GET.get("cursor"), limit=PAGE_ROWS)
    context = {
        **frame(request, workspace, version, "records"),
        "found": found,
        "wanted": wanted,
        "words": wanted.words[0],
        "chips": filtering.chips(wanted),
        "query": filtering.to_query(wanted),
        "groups": filtering.facet_groups(wanted.values, queries.facet_counts(version, wanted)),
        "numbers": filtering.number_fields(wanted, version.stats.get("ranges", {})),
        "sorts": [(name, filtering.FACET_NAMES[name]) for name in version.stats.get("ranges", {})],
        "views": saved_views.list_views(user=request.user, slug=workspace.slug),
        "refused": list(islice(exports.refused_rows(version), SHOWN_ERRORS)),
    }
    return page(request, "datasets/version.html", workspace, "datasets", **context)


def _building(request: MemberRequest, workspace: Workspace, version: DatasetVersion) -> HttpResponse:
    context = frame(request, workspace, version, "records")
    if request.headers.get("HX-Request"):
        return render(request, "datasets/_building.html", {"workspace": workspace, **context})
    context["refused"] = list(islice(exports.refused_rows(version), SHOWN_ERRORS))
    return page(request, "datasets/version.html", workspace, "datasets", **context)


@require_safe
@workspace_page()
def version_overview(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """Where it comes from, what it is made of, what was made from it."""
    version = version_in(request, workspace, version_id)
    if version.state != VersionState.READY:
        return redirect("dataset_version", workspace.slug, version.pk)
    context = {
        **frame(request, workspace, version, "overview"),
        "uses": uses([version]),
        "ancestors": ancestors(version),
        "by": request.GET.get("by", ""),
    }
    return page(request, "datasets/overview.html", workspace, "datasets", charts=True, **context)


@require_safe
@workspace_page()
def record_page(request: MemberRequest, workspace: Workspace, version_id: int, position: int) -> HttpResponse:
    """One record as a person reads it, with its neighbours by key: those of the filter that it was found by."""
    version = version_in(request, workspace, version_id)
    row = RecordRow.objects.filter(version=version, position=position).first()
    if row is None:
        raise NotFound
    wanted = filtering.from_query(request.GET)
    previous, following, number, total = queries.neighbours(version, wanted, position)
    context = {
        "version": version,
        "dataset": version.dataset,
        "row": row,
        "record": media.record_for_page(version, row.data),
        "previous": previous,
        "following": following,
        "number": number,
        "total": total,
        "query": filtering.to_query(wanted),
        "chips": filtering.chips(wanted),
    }
    return page(request, "datasets/record.html", workspace, "datasets", **context)


@require_safe
@workspace_page()
def version_figure(request: MemberRequest, workspace: Workspace, version_id: int, name: str) -> JsonResponse:
    return JsonResponse(figures.version_figure(version_in(request, workspace, version_id), name))


@require_safe
@workspace_page()
def version_download(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponseBase:
    return exports.download(request, version_in(request, workspace, version_id), request.GET.get("format", FORMATS[0]))


@require_safe
@workspace_page()
def version_errors(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponseBase:
    return exports.error_report(version_in(request, workspace, version_id), request.GET.get("format", "csv"))


@require_POST
@workspace_page()
def view_save(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """Keep the filter of the page under a name."""
    version = version_in(request, workspace, version_id)
    view = saved_views.save_view(
        user=request.user,
        slug=workspace.slug,
        name=request.POST.get("name", ""),
        query=request.POST.get("query", ""),
        shared=bool(request.POST.get("shared")),
    )
    messages.success(request, _("The view “%(name)s” has been saved.") % {"name": view.name})
    return redirect(f"{version_url(workspace, version)}?{view.query}")


@require_POST
@workspace_page()
def view_delete(request: MemberRequest, workspace: Workspace, version_id: int, view_id: int) -> HttpResponse:
    version = version_in(request, workspace, version_id)
    saved_views.delete_view(user=request.user, view_id=view_id)
    return redirect(version_url(workspace, version))


def version_url(workspace: Workspace, version: DatasetVersion) -> str:
    return reverse("dataset_version", args=[workspace.slug, version.pk])

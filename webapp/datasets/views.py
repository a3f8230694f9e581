"""Pages of data: the list, a dataset with its time line, a version with its records, and the way in for files."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound, UserError, translate
from webapp.datasets import composition, figures, filtering, forms, queries, saved_views, services
from webapp.datasets.access import access_dataset, access_upload
from webapp.datasets.fetching import start_fetch
from webapp.datasets.lineage import uses
from webapp.datasets.models import Dataset, DatasetVersion, VersionState
from webapp.datasets.previews import preview_upload
from webapp.datasets.requests import MemberRequest
from workers.data.exporters import LABELS

FIRST_RECORDS = 6
ACCEPTED = (
    ".jsonl,.json,.csv,.tsv,.txt,.md,.gz,.ndjson,.tab,.zip,.xml,.conll,.bio,.parquet,.arrow,.tar,.pdf,.docx,.epub,.html,.htm"
)


def _dataset(request: MemberRequest, workspace: Workspace, dataset_id: int) -> Dataset:
    dataset = access_dataset(request.user, dataset_id)
    if dataset.workspace_id != workspace.pk:
        raise NotFound
    return dataset


@require_safe
@workspace_page()
def dataset_list(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    search = request.GET.get("q", "").strip()
    values, ranges = filtering.dataset_conditions(request.GET)
    found = queries.list_datasets(
        user=request.user,
        slug=workspace.slug,
        cursor=request.GET.get("cursor"),
        limit=30,
        search=search,
        values=values,
        ranges=ranges,
    )
    facets = composition.workspace_facets(workspace)
    context = {
        "groups": filtering.facet_groups(values, facets),
        "numbers": filtering.dataset_number_fields(ranges),
        "filtered": bool(values or ranges),
        "chips": [*values, *ranges],
        "by": request.GET.get("by", ""),
        "figure_query": "?by=bytes" if request.GET.get("by") == "bytes" else "",
        "has_facets": any(len(counts) > 1 for name, counts in facets.items() if name in composition.COMPOSED),
        "datasets": found.items,
        "next_cursor": found.next_cursor,
        "search": search,
        "may_manage": may(request.user, workspace, Role.MANAGER),
    }
    if request.headers.get("HX-Request"):
        return render(request, "datasets/_list.html", {"workspace": workspace, **context})
    return page(request, "datasets/list.html", workspace, "datasets", charts=True, **context)


@require_safe
@workspace_page()
def workspace_figure(request: MemberRequest, workspace: Workspace) -> JsonResponse:
    """What the newest versions of all datasets are made of."""
    facets = composition.workspace_facets(workspace, composition.COMPOSED)
    return JsonResponse(figures.composition(facets, by_bytes=request.GET.get("by") == "bytes"))


@require_safe
@workspace_page()
def record_search(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    """Records of all datasets at once; the address is the same as that of one version's records."""
    wanted = filtering.from_query(request.GET)
    context: dict[str, Any] = {
        "wanted": wanted,
        "words": wanted.words[0],
        "chips": filtering.chips(wanted),
        "query": filtering.to_query(wanted),
        "views": saved_views.list_views(user=request.user, slug=workspace.slug),
        "groups": filtering.facet_groups(wanted.values, composition.workspace_facets(workspace)),
        "numbers": filtering.number_fields(wanted, {}, always=True),
    }
    if not wanted.is_empty:
        context["found"] = found = composition.search_records(
            user=request.user, slug=workspace.slug, wanted=wanted, cursor=request.GET.get("cursor")
        )
        context["next_cursor"] = found.next_cursor
    return page(request, "datasets/search.html", workspace, "datasets", **context)


@require_safe
@workspace_page(role=Role.MANAGER)
def dataset_new(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    return page(request, "datasets/upload.html", workspace, "datasets", accept=ACCEPTED, fetch=forms.FetchForm())


@require_POST
@workspace_page(role=Role.MANAGER)
def dataset_fetch(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    """A dataset from a hub: the job that fetches it leads to the preview."""
    form = forms.FetchForm(request.POST)
    if form.is_valid():
        try:
            job = start_fetch(user=request.user, slug=workspace.slug, **form.cleaned_data)
            return redirect("job", workspace.slug, job.pk)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
    response = page(request, "datasets/upload.html", workspace, "datasets", accept=ACCEPTED, fetch=form)
    response.status_code = 422
    return response


@require_safe
@workspace_page(role=Role.MANAGER)
def version_new(request: MemberRequest, workspace: Workspace, dataset_id: int) -> HttpResponse:
    dataset = _dataset(request, workspace, dataset_id)
    return page(request, "datasets/upload.html", workspace, "datasets", accept=ACCEPTED, dataset=dataset)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def dataset_import(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    """The preview of an upload, and the button that imports it as a new dataset or the next version of one."""
    given = request.POST if request.method == "POST" else request.GET
    upload = access_upload(request.user, _number(given.get("upload")))
    dataset = _dataset(request, workspace, _number(given["dataset"])) if given.get("dataset") else None
    kind = forms.VersionImportForm if dataset else forms.ImportForm
    if request.method == "POST":
        form = kind(request.POST)
        if form.is_valid():
            return redirect("dataset_version", workspace.slug, _import(request, workspace, dataset, form).pk)
    else:
        name = upload.name.removesuffix(".gz").rsplit(".", 1)[0][:120]
        form = kind(initial={"upload": upload.pk, "name": name, "format": "auto", "encoding": "auto"})
    context = {"upload": upload, "dataset": dataset, "form": form, **_preview(request, upload.pk, {})}
    return page(request, "datasets/import.html", workspace, "datasets", **context)


def _import(request: MemberRequest, workspace: Workspace, dataset: Dataset | None, form: forms.ImportForm) -> DatasetVersion:
    values = form.cleaned_data
    options = {**form.reading(), **form.facets()}
    if dataset:
        return services.import_upload(user=request.user, dataset_id=dataset.pk, upload_id=values["upload"], **options)
    return services.import_new_dataset(
        user=request.user,
        slug=workspace.slug,
        upload_id=values["upload"],
        name=values["name"],
        description=values["description"],
        **options,
    )


@require_safe
@workspace_page(role=Role.MANAGER)
def import_preview(request: MemberRequest, workspace: Workspace) -> HttpResponse:
    """The part of the page that changes with format, encoding and columns."""
    form = forms.PreviewForm(request.GET)
    values = forms.checked(form)
    context = _preview(request, values["upload"], form.reading())
    return render(request, "datasets/_preview.html", {"workspace": workspace, **context})


def _preview(request: MemberRequest, upload_id: int, reading: dict[str, Any]) -> dict[str, Any]:
    """What the file would become, or in one sentence why it cannot be read this way."""
    try:
        found = preview_upload(user=request.user, upload_id=upload_id, limit=10, **reading)
    except UserError as error:
        if error.status in {403, 404}:
            raise
        return {"preview_error": translate(error.template, error.params)}
    chosen = {**found["mapping"], **reading.get("mapping", {})}
    columns = [(field, label, chosen.get(field, "")) for field, label in forms.MAPPED.items()] if found["mapping"] else []
    return {"preview": found, "mapped": columns, "format_name": LABELS.get(found["format"], found["format"].upper())}


def _number(text: str | None) -> int:
    if not text or not text.isdecimal():
        raise NotFound
    return int(text)


@require_safe
@workspace_page()
def dataset_page(request: MemberRequest, workspace: Workspace, dataset_id: int) -> HttpResponse:
    dataset = _dataset(request, workspace, dataset_id)
    found = queries.list_versions(user=request.user, dataset_id=dataset.pk, cursor=request.GET.get("cursor"), limit=20)
    latest = next((version for version in found.items if version.state == VersionState.READY), None)
    context = {
        "dataset": dataset,
        "versions": found.items,
        "next_cursor": found.next_cursor,
        "latest": latest,
        "records": latest.records.filter(position__lt=FIRST_RECORDS).order_by("position") if latest else [],
        "by": request.GET.get("by", ""),
        "uses": uses(found.items) if found.items else [],
        "form": forms.DatasetForm(initial={"name": dataset.name, "description": dataset.description}),
        "may_manage": may(request.user, workspace, Role.MANAGER),
    }
    if request.headers.get("HX-Request"):
        return render(request, "datasets/_versions.html", {"workspace": workspace, **context})
    return page(request, "datasets/dataset.html", workspace, "datasets", charts=True, **context)


@require_POST
@workspace_page(role=Role.MANAGER)
def dataset_edit(request: MemberRequest, workspace: Workspace, dataset_id: int) -> HttpResponse:
    values = forms.checked(forms.DatasetForm(request.POST))
    services.update_dataset(user=request.user, dataset_id=_dataset(request, workspace, dataset_id).pk, **values)
    return redirect("dataset", workspace.slug, dataset_id)


@require_POST
@workspace_page(role=Role.MANAGER)
def dataset_delete(request: MemberRequest, workspace: Workspace, dataset_id: int) -> HttpResponse:
    dataset = _dataset(request, workspace, dataset_id)
    services.delete_dataset(user=request.user, dataset_id=dataset.pk)
    messages.success(request, _("“%(name)s” has been deleted.") % {"name": dataset.name})
    return redirect("datasets", workspace.slug)

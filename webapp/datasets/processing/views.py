"""Pages of processing: the form with its preview, and the report of a run."""

import uuid
from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound
from webapp.datasets import files
from webapp.datasets.access import access_version
from webapp.datasets.forms import checked
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.datasets.processing import figures, forms, reports, services
from webapp.datasets.requests import MemberRequest


def version_here(request: MemberRequest, workspace: Workspace, version_id: int) -> DatasetVersion:
    version = access_version(request.user, version_id)
    if version.dataset.workspace_id != workspace.pk:
        raise NotFound
    return version


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def process(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """The stages; sending them starts the job."""
    version = version_here(request, workspace, version_id)
    files.version_path(version)
    versions, evaluation = services.comparable_versions(version)
    if request.method == "POST":
        form = forms.StagesForm(request.POST, versions=versions)
        if form.is_valid():
            made = services.process_version(
                user=request.user,
                version_id=version.pk,
                stages=form.stages(),
                idempotency_key=request.POST.get("key", "")[:60] or None,
            )
            return redirect("processing_report", workspace.slug, made.pk)
    else:
        chosen = services.stages_of(version, request.GET.get("like", "")) or forms.suggested(version, evaluation)
        form = forms.StagesForm(initial=forms.initial(chosen), versions=versions)
    key = request.POST.get("key") or uuid.uuid4().hex
    context = {"version": version, "dataset": version.dataset, "form": form, "sections": form.sections(), "key": key}
    return page(request, "processing/process.html", workspace, "datasets", charts=True, **context)


@require_POST
@workspace_page(role=Role.MANAGER)
def process_preview(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """What the stages of the form would do with a sample, as a fragment."""
    version = version_here(request, workspace, version_id)
    versions, _evaluation = services.comparable_versions(version)
    form = forms.StagesForm(request.POST, versions=versions)
    checked(form)
    found = services.preview(user=request.user, version_id=version.pk, stages=form.stages())
    context = {"version": version, "sampled": found["sampled"], "stages": reports.told(found["stages"])}
    return render(request, "processing/_preview.html", {"workspace": workspace, **context})


def _report_context(request: MemberRequest, workspace: Workspace, version: DatasetVersion) -> dict[str, Any]:
    report = reports.read_report(version)
    stages = reports.told(report["stages"])
    return {
        "version": version,
        "dataset": version.dataset,
        "job": version.job,
        "source": version.parent,
        "stages": stages,
        "done": report["done"],
        "before": stages[0]["entered"] if stages else None,
        "left": stages[-1]["kept"] if stages else None,
        "has_quality": any("histogram" in stage for stage in stages),
        "has_clusters": any(stage["cluster_count"] for stage in stages),
        "may_manage": may(request.user, workspace, Role.MANAGER),
    }


@require_safe
@workspace_page()
def report(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """The run: progress while it lives, then the funnel, the examples and the groups."""
    version = version_here(request, workspace, version_id)
    context = _report_context(request, workspace, version)
    if request.headers.get("HX-Request"):
        answer = render(request, "processing/_running.html", {"workspace": workspace, **context})
        if version.state != VersionState.BUILDING:
            answer["HX-Refresh"] = "true"
        return answer
    return page(request, "processing/report.html", workspace, "datasets", charts=True, **context)


@require_safe
@workspace_page()
def report_figure(request: MemberRequest, workspace: Workspace, version_id: int, name: str) -> JsonResponse:
    version = version_here(request, workspace, version_id)
    return JsonResponse(figures.draw(name, reports.read_report(version)["stages"]))


@require_safe
@workspace_page()
def report_dropped(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponseBase:
    version = version_here(request, workspace, version_id)
    return reports.download_dropped(request, version, request.GET.get("stage", ""))

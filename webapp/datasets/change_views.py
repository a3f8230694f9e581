"""Pages on which versions are made from a version, and on which versions are compared."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import UserError, translate
from webapp.datasets import comparing, deriving, filtering, forms, media, services
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.datasets.record_views import frame, version_in
from webapp.datasets.requests import MemberRequest
from workers.data.word_diff import record_diff
from workers.spec.deriving import CHANGEABLE

COMPARED_ROWS = 20


@require_safe
@workspace_page()
def version_compare(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """What became of another version (`?with=`; else the one it was made from, or the one before)."""
    version = version_in(request, workspace, version_id)
    others = comparing.counterparts(version)
    given = request.GET.get("with", "")
    other = version_in(request, workspace, int(given)) if given.isdecimal() else next(iter(others), None)
    show = request.GET.get("show", "")
    context = {**frame(request, workspace, version, "compare"), "others": others, "other": other, "show": show}
    if other is not None and other.state == version.state == VersionState.READY:
        counts = comparing.comparison(other, version).counts
        context["show"] = show = show or next((name for name in comparing.SHOWN if counts[name]), "changed")
        found = comparing.compare_versions(
            user=request.user,
            older_id=other.pk,
            newer_id=version.pk,
            show=show,
            cursor=request.GET.get("cursor"),
            limit=COMPARED_ROWS,
        )
        names = {"changed": _("Changed"), "added": _("Added"), "removed": _("Removed")}
        context |= {
            "counts": [(name, names[name], found.counts[name]) for name in comparing.SHOWN],
            "same": found.counts["same"],
            "differences": [(item, _pieces(item), _shown(version, other, item)) for item in found.items],
            "next_cursor": found.next_cursor,
            "shares": _shares(other, version),
        }
    return page(request, "datasets/compare.html", workspace, "datasets", **context)


def _pieces(item: comparing.Difference) -> list[Any]:
    return record_diff(item.old.data, item.new.data) if item.old and item.new else []


def _shown(version: DatasetVersion, other: DatasetVersion, item: comparing.Difference) -> dict[str, Any]:
    """The record as a page shows it, with its files from the version that holds them."""
    return media.record_for_page(version, item.new.data) if item.new else media.record_for_page(other, item.row.data)


def _shares(older: DatasetVersion, newer: DatasetVersion) -> list[dict[str, Any]]:
    """How the make-up moved: values of the main facets whose counts differ, the largest movement first."""
    moved = []
    for facet in ("label", "language", "kind", "domain", "source"):
        before, after = (version.stats.get("facets", {}).get(facet, {}) for version in (older, newer))
        for value in {**before, **after}:
            old, new = before.get(value, [0])[0], after.get(value, [0])[0]
            if old != new:
                moved.append(
                    {
                        "facet": filtering.FACET_NAMES[facet],
                        "value": filtering.value_name(facet, value),
                        "old": old,
                        "new": new,
                        "change": f"{new - old:+d}",
                    }
                )
    return sorted(moved, key=lambda row: -abs(row["new"] - row["old"]))[:12]


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page(role=Role.MANAGER)
def version_change(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """A bulk action: what it would do to the records that the address chooses, then the version that it makes."""
    version = version_in(request, workspace, version_id)
    wanted = filtering.from_query(request.GET)
    given = request.POST if request.method == "POST" else request.GET
    fields = {"action": given.get("do", "delete"), "field": given.get("field") or None, "value": given.get("value", "")}
    if request.method == "POST":
        change = deriving.checked_change(**fields)
        made = deriving.change_records(user=request.user, version_id=version.pk, wanted=wanted, change=change)
        if made.state == VersionState.READY:
            messages.success(request, _("“%(name)s” is ready: %(count)s records.") % {"name": str(made), "count": made.count})
        return redirect("dataset_version", workspace.slug, made.pk)
    context = {
        **frame(request, workspace, version, "records"),
        "chips": filtering.chips(wanted),
        "query": filtering.to_query(wanted),
        "pairs": filtering.pairs(wanted),
        "fields": [(name, filtering.FACET_NAMES[name]) for name in CHANGEABLE],
        "chosen": fields,
        **_preview(request, version, wanted, fields),
    }
    if request.headers.get("HX-Request"):
        return render(request, "datasets/_change_preview.html", {"workspace": workspace, **context})
    return page(request, "datasets/change.html", workspace, "datasets", **context)


def _preview(request: MemberRequest, version: DatasetVersion, wanted: Any, fields: dict[str, Any]) -> dict[str, Any]:
    try:
        change = deriving.checked_change(**fields)
        found = deriving.preview_change(user=request.user, version_id=version.pk, wanted=wanted, change=change)
    except UserError as error:
        if error.status in {403, 404}:
            raise
        return {"preview_error": translate(error.template, error.params)}
    samples = [
        (row, record_diff(row.data, after) if after else [], media.record_for_page(version, row.data))
        for row, after in found.pop("samples")
    ]
    return {"preview": {**found, "samples": samples}}


@require_POST
@workspace_page(role=Role.MANAGER)
def version_undo(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """Discard what a bulk action made and go back to the version before."""
    version = version_in(request, workspace, version_id)
    parent = deriving.undo_change(user=request.user, version_id=version.pk)
    messages.success(request, _("Undone: “%(name)s” is as it was.") % {"name": str(parent)})
    return redirect("dataset_version", workspace.slug, parent.pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def version_split(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    values = forms.checked(forms.SplitForm(request.POST))
    version = version_in(request, workspace, version_id)
    if values["facet"]:
        names = [name for name in version.stats.get("facets", {}).get(values["facet"], {}) if name][:8]
        split = deriving.checked_split(parts=[{"name": name, "value": name} for name in names], facet=values["facet"])
    else:
        shares = {"validation": (values["validation"] or 0) / 100, "held-out": values["percent"] / 100}
        parts = [{"name": "train", "share": 1 - sum(shares.values())}]
        parts += [{"name": name, "share": share} for name, share in shares.items() if share]
        split = deriving.checked_split(parts=parts, seed=values["seed"] or 0, stratify=values["stratify"])
    made = deriving.split_parts(user=request.user, version_id=version.pk, split=split)
    if made[-1].state == VersionState.READY:
        text = ", ".join(f"{each.dataset.name}: {each.count}" for each in made)
        messages.success(request, _("Split: %(parts)s") % {"parts": text})
    return redirect("dataset_version", workspace.slug, made[-1].pk)


@require_POST
@workspace_page(role=Role.MANAGER)
def version_delete(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    version = version_in(request, workspace, version_id)
    services.delete_version(user=request.user, version_id=version.pk)
    messages.success(request, _("“%(name)s” has been deleted.") % {"name": str(version)})
    return redirect(reverse("dataset", args=[workspace.slug, version.dataset_id]))

"""Pages of spot checks: those of a version, judging one record after the other by keyboard, the history."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from webapp.accounts.access import may
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import NotFound
from webapp.datasets.forms import checked
from webapp.datasets.models import SpotCheck
from webapp.datasets.processing import forms, spot_checks
from webapp.datasets.processing.spot_funnel import spot_funnel
from webapp.datasets.processing.views import version_here
from webapp.datasets.processing.wording import BAD, bad_label
from webapp.datasets.requests import MemberRequest


def _check(request: MemberRequest, workspace: Workspace, check_id: int) -> SpotCheck:
    check = spot_checks.access_spot_check(request.user, check_id)
    if check.version.dataset.workspace_id != workspace.pk:
        raise NotFound
    return check


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page()
def spot_checks_of_version(request: MemberRequest, workspace: Workspace, version_id: int) -> HttpResponse:
    """The spot checks of a version; posting draws a new one."""
    version = version_here(request, workspace, version_id)
    if request.method == "POST":
        values = checked(forms.SpotCheckForm(request.POST))
        made = spot_checks.start_spot_check(
            user=request.user, version_id=version.pk, size=values["size"], seed=values["seed"] or 0
        )
        return redirect("spot_check", workspace.slug, made.pk)
    found = spot_checks.list_spot_checks(user=request.user, version_id=version.pk, cursor=request.GET.get("cursor"))
    standings = spot_checks.standings(found.items)
    context = {
        "version": version,
        "dataset": version.dataset,
        "checks": [(check, standings[check.pk]) for check in found.items],
        "next_cursor": found.next_cursor,
        "funnel": spot_funnel(version),
        "form": forms.SpotCheckForm(),
        "may_manage": may(request.user, workspace, Role.MANAGER),
    }
    return page(request, "processing/spot_checks.html", workspace, "datasets", **context)


@require_http_methods(["GET", "HEAD", "POST"])
@workspace_page()
def spot_check(request: MemberRequest, workspace: Workspace, check_id: int) -> HttpResponse:
    """One record to judge. Posting stores the judgement and leads to the next record."""
    check = _check(request, workspace, check_id)
    if request.method == "POST":
        verdict, _colon, reason = request.POST.get("verdict", "").partition(":")
        spot_checks.judge(
            user=request.user,
            check_id=check.pk,
            position=_number(request.POST.get("position")),
            good=verdict == "good",
            reason=reason,
            note=request.POST.get("note", ""),
        )
        return redirect("spot_check", workspace.slug, check.pk)
    context: dict[str, Any] = {"check": check, "version": check.version, "standing": _told(check)}
    if request.headers.get("HX-Request"):
        return render(request, "processing/_spot_standing.html", {"workspace": workspace, **context})
    wanted = request.GET.get("position")
    position = _number(wanted) if wanted else spot_checks.next_position(check, request.user)
    if position is not None:
        if position not in check.positions:
            raise NotFound
        context |= {"position": position, "number": position + 1, "record": spot_checks.record_of(check.version, position)}
    context |= {
        "dataset": check.version.dataset,
        "funnel": spot_funnel(check.version),
        "bad": [(str(key), code, bad_label(code)) for key, code in enumerate(BAD, start=2)],
        "last": spot_checks.last_position(check, request.user),
        "may_judge": may(request.user, workspace, Role.ANNOTATOR),
    }
    return page(request, "processing/spot_check.html", workspace, "datasets", **context)


def _told(check: SpotCheck) -> dict[str, Any]:
    standing = spot_checks.standing(check)
    return {**vars(standing), "words": [(bad_label(code), count) for code, count in standing.reasons.items()]}


def _number(text: str | None) -> int:
    if not text or not text.isdecimal() or len(text) > 15:
        raise NotFound
    return int(text)


@require_safe
@workspace_page()
def spot_history(request: MemberRequest, workspace: Workspace, check_id: int) -> HttpResponse:
    check = _check(request, workspace, check_id)
    found = spot_checks.list_judgements(user=request.user, check_id=check.pk, cursor=request.GET.get("cursor"))
    context = {
        "check": check,
        "version": check.version,
        "dataset": check.version.dataset,
        "judgements": [(said, bad_label(said.reason), said.position + 1) for said in found.items],
        "next_cursor": found.next_cursor,
        "standing": _told(check),
    }
    return page(request, "processing/spot_history.html", workspace, "datasets", **context)

"""The frame of every page of a workspace: who may open it, and what its template always knows."""

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, Workspace

View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Others log in first, and come back: to this page, or to the one whose form they had sent."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return redirect_to_login(request.get_full_path() if request.method in ("GET", "HEAD") else page_of_form(request))

    return guarded


def page_of_form(request: HttpRequest) -> str:
    """Where a form was sent from, by the browser's word, if that is a page of ours; else the first page."""
    came_from = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()}):
        return "/"
    address = urlsplit(came_from)
    return (address.path or "/") + (f"?{address.query}" if address.query else "")


def workspace_page(*, role: str = Role.VIEWER) -> Callable[[View], View]:
    """Turns `/w/<slug>/…` into view(request, workspace, …) for a member with at least `role`."""

    def decorate(view: View) -> View:
        @signed_in
        @functools.wraps(view)
        def guarded(request: HttpRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            workspace = access_workspace(request.user, slug, role=role)  # type: ignore[arg-type]
            request.session["workspace"] = workspace.slug
            return view(request, workspace, *args, **kwargs)

        return guarded

    return decorate


def page(request: HttpRequest, template: str, workspace: Workspace, nav: str, **context: Any) -> HttpResponse:
    """Render a page of a workspace; `nav` is the station of the chain that is lit."""
    charts = bool(context.pop("charts", False))
    response = render(request, template, {"workspace": workspace, "nav_active": nav, **context})
    if charts:
        response.inline_styles = True  # type: ignore[attr-defined]
    return response

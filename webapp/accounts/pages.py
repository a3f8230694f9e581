"""The frame of every page of a workspace: who may open it, and what its template always knows."""

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, Workspace

View = Callable[..., HttpResponseBase]


def workspace_page(*, role: str = Role.VIEWER) -> Callable[[View], View]:
    """Turns `/w/<slug>/…` into view(request, workspace, …) for a member with at least `role`."""

    def decorate(view: View) -> View:
        @login_required
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

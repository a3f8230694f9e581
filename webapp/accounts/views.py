"""Pages of accounts: log in by one-time link, sign up by invitation, settings of a workspace, API keys."""

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts import forms, queries, services
from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, signed_in, workspace_page
from webapp.core.errors import UserError, translate

BACKEND = "django.contrib.auth.backends.ModelBackend"


def checked(form: Form) -> dict[str, Any]:
    """The form's clean values, or its first mistake as one sentence."""
    if form.is_valid():
        return dict(form.cleaned_data)
    name, problems = next(iter(form.errors.items()))
    label = form.fields[name].label if name in form.fields else name
    raise UserError("form.invalid", "{field}: {reason}", status=422, field=str(label), reason=str(problems[0]))


@never_cache
@require_safe
def login_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """The printed link: works once."""
    user = services.use_login_link(token)
    if user is None:
        raise UserError(
            "login.link_spent", "This log-in link has been used or has expired; start Shuyuan again for a fresh one.", status=404
        )
    login(request, user, backend=BACKEND)
    return redirect("start")


@never_cache
def sign_up(request: HttpRequest, token: str = "") -> HttpResponse:
    """Make an account by invitation, or freely when the operator opened sign-up."""
    if not token and not settings.OPEN_SIGN_UP:
        raise UserError("signup.closed", "Sign-up is closed here; ask an owner for an invitation link.", status=404)
    workspace = services.open_invitation(token).workspace if token else None
    if token and request.user.is_authenticated:
        return _join(request, token)
    form = forms.SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = services.sign_up(**form.cleaned_data, token=token, open_sign_up=settings.OPEN_SIGN_UP)
        except UserError as error:
            form.add_error(None, translate(error.template, error.params))
        else:
            login(request, user, backend=BACKEND)
            return redirect("start")
    return render(request, "accounts/sign_up.html", {"form": form, "invited_to": workspace, "token": token})


def _join(request: HttpRequest, token: str) -> HttpResponse:
    """Somebody who is logged in joins with one click."""
    if request.method == "POST":
        workspace = services.accept_invitation(user=request.user, token=token)  # type: ignore[arg-type]
        return redirect("home", workspace.slug)
    return render(request, "accounts/join.html", {"invited_to": services.open_invitation(token).workspace})


@signed_in
@require_POST
def create_workspace(request: HttpRequest) -> HttpResponse:
    values = checked(forms.WorkspaceForm(request.POST))
    workspace = services.create_workspace(user=request.user, name=values["name"])  # type: ignore[arg-type]
    return redirect("home", workspace.slug)


@workspace_page()
def workspace_settings(request: HttpRequest, workspace: Workspace, **context: Any) -> HttpResponse:
    return page(
        request,
        "accounts/settings.html",
        workspace,
        "settings",
        **queries.settings_context(request.user, workspace),  # type: ignore[arg-type]
        roles=Role.choices,
        invitation_form=forms.InvitationForm(),
        key_form=forms.KeyForm(),
        workspace_form=forms.WorkspaceForm(),
        password_form=forms.PasswordForm(),
        **context,
    )


@require_POST
@workspace_page(role=Role.MANAGER)
def invite(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    values = checked(forms.InvitationForm(request.POST))
    _invitation, token = services.create_invitation(user=request.user, workspace_id=workspace.pk, **values)  # type: ignore[arg-type]
    link = request.build_absolute_uri(reverse("invitation", args=[token]))
    return page(request, "accounts/shown_once.html", workspace, "settings", title=_("Invitation link"), secret=link)


@require_POST
@workspace_page(role=Role.OWNER)
def set_role(request: HttpRequest, workspace: Workspace, member_id: int) -> HttpResponse:
    role = request.POST.get("role", "")
    services.change_role(user=request.user, workspace_id=workspace.pk, member_id=member_id, role=role)  # type: ignore[arg-type]
    return redirect("settings", workspace.slug)


@require_POST
@workspace_page()
def create_key(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    values = checked(forms.KeyForm(request.POST))
    _key, text = services.create_key(user=request.user, workspace=workspace, **values)  # type: ignore[arg-type]
    return page(request, "accounts/shown_once.html", workspace, "settings", title=_("API key"), secret=text)


@require_POST
@workspace_page()
def revoke_key(request: HttpRequest, workspace: Workspace, key_id: int) -> HttpResponse:
    services.revoke_key(user=request.user, key_id=key_id)  # type: ignore[arg-type]
    return redirect("settings", workspace.slug)


@require_POST
@workspace_page()
def set_password(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    values = checked(forms.PasswordForm(request.POST))
    services.set_password(user=request.user, password=values["password"])  # type: ignore[arg-type]
    login(request, request.user, backend=BACKEND)  # type: ignore[arg-type]
    return redirect("settings", workspace.slug)

"""Forms of accounts."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from webapp.accounts import attempts
from webapp.accounts.models import Role
from webapp.accounts.services import SCOPES

SCOPE_LABELS = {
    "read": _("read: look at everything"),
    "write": _("write: import, label, train, deploy"),
    "inference": _("inference: ask deployments"),
    "admin": _("admin: members and keys"),
}


class LogInForm(AuthenticationForm):
    """User name and password; whoever fails too often has to wait."""

    def clean(self) -> dict[str, Any]:
        address = str(self.request.META.get("REMOTE_ADDR", "")) if self.request else ""
        name = str(self.cleaned_data.get("username", ""))
        attempts.require_patience(name, address)
        try:
            values = super().clean()
        except forms.ValidationError:
            attempts.note_failure(name, address)
            raise
        attempts.forget_failures(name, address)
        return values


class SignUpForm(forms.Form):
    username = forms.CharField(label=_("User name"), max_length=150)
    password = forms.CharField(label=_("Password"), widget=forms.PasswordInput, help_text=_("At least 8 characters."))


class WorkspaceForm(forms.Form):
    name = forms.CharField(label=_("Name of the workspace"), max_length=120)


class InvitationForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.ANNOTATOR)
    note = forms.CharField(label=_("For whom"), max_length=120, required=False)


class KeyForm(forms.Form):
    name = forms.CharField(label=_("Name of the key"), max_length=80, help_text=_("Where it will be used."))
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        choices=[(scope, SCOPE_LABELS[scope]) for scope in SCOPES],
        initial=["inference"],
        widget=forms.CheckboxSelectMultiple,
    )


class PasswordForm(forms.Form):
    password = forms.CharField(label=_("New password"), widget=forms.PasswordInput, help_text=_("At least 8 characters."))

"""The form of a suite: two clicks; what is guessed can be changed behind «Advanced»."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion, VersionState

METHODS = [
    ("", _("guess from the records")),
    ("multiple_choice", _("multiple choice by likelihood")),
    ("generation", _("written answer")),
]
METRICS = [
    ("", _("guess from the records")),
    ("exact", _("equal to the reference")),
    ("contains", _("contains the reference")),
    ("tool_call", _("same tool call")),
]
PLAIN = ("method", "metric", "shots", "limit", "max_new_tokens", "instruction", "system_prompt")


class VersionChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.count:,}"


class SuiteForm(forms.Form):
    version = VersionChoice(queryset=DatasetVersion.objects.none(), label=_("Dataset"), empty_label=None)
    name = forms.CharField(label=_("Name"), required=False, max_length=120, help_text=_("Left empty: the dataset's name."))
    method = forms.ChoiceField(label=_("How it is asked"), choices=METHODS, required=False)
    metric = forms.ChoiceField(label=_("What counts as right"), choices=METRICS, required=False)
    shots = forms.IntegerField(label=_("Examples shown before each question"), required=False, min_value=0, max_value=32)
    limit = forms.IntegerField(label=_("Ask at most"), required=False, min_value=1, help_text=_("Left empty: every record."))
    max_new_tokens = forms.IntegerField(label=_("Longest answer (tokens)"), required=False, min_value=1, max_value=4096)
    instruction = forms.CharField(
        label=_("Instruction before each text"), required=False, help_text=_("For classification data.")
    )
    system_prompt = forms.CharField(label=_("System prompt"), required=False)
    ignore_case = forms.BooleanField(label=_("Upper and lower case are the same"), required=False)

    def __init__(self, workspace: Workspace, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY, count__gt=0)
        self.fields["version"].queryset = versions.select_related("dataset").order_by("-pk")  # type: ignore[attr-defined]

    def config(self) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in PLAIN if self.cleaned_data[name] not in (None, "")}
        return {**given, **({"ignore_case": True} if self.cleaned_data["ignore_case"] else {})}

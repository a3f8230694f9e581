"""Forms of the labelling pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.datasets.forms import checked
from webapp.datasets.models import DatasetVersion
from webapp.labeling.presets import make_schema, preset_for, proposed_labels, read_labels
from webapp.labeling.ready import READY_MADE

__all__ = ["NewProjectForm", "ProjectForm", "checked"]
SHOWN_LABELS = 300


class NewProjectForm(forms.Form):
    preset = forms.ChoiceField(
        label=_("What is to be done"),
        choices=[(preset.name, preset.title) for preset in READY_MADE.values()],
        widget=forms.RadioSelect,
    )
    name = forms.CharField(label=_("Name of the project"), max_length=120)
    question = forms.CharField(label=_("Question"), max_length=200, required=False)
    labels = forms.CharField(label=_("Labels, one a line"), required=False, widget=forms.Textarea(attrs={"rows": 6}))
    propose = forms.BooleanField(label=_("Show the label that a record has as a proposal"), required=False)
    instructions = forms.CharField(label=_("Instructions"), required=False, widget=forms.Textarea(attrs={"rows": 4}))
    overlap = forms.IntegerField(label=_("People per record"), initial=1, min_value=1, max_value=50)
    limit = forms.IntegerField(label=_("Only the first … records"), min_value=1, required=False)

    @classmethod
    def for_version(cls, version: DatasetVersion) -> "NewProjectForm":
        labels = proposed_labels(version)[:SHOWN_LABELS]
        initial = {
            "preset": preset_for(version),
            "name": version.dataset.name[:120],
            "labels": "\n".join(labels),
            "overlap": 1,
        }
        return cls(initial=initial)


def schema_of(version: DatasetVersion, given: Any) -> dict[str, Any]:
    """The questions that a filled-in form asks; works on unfinished forms too, for the preview."""
    return make_schema(
        given.get("preset") or preset_for(version),
        version,
        labels=read_labels(given.get("labels") or ""),
        question=(given.get("question") or "").strip()[:200],
        propose=bool(given.get("propose")),
    )


class ProjectForm(forms.Form):
    name = forms.CharField(label=_("Name of the project"), max_length=120)
    instructions = forms.CharField(label=_("Instructions"), required=False, widget=forms.Textarea(attrs={"rows": 6}))

"""Forms of the labelling pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.datasets.forms import checked
from webapp.datasets.models import DatasetVersion
from webapp.labeling.models import LabelProject, OverlapMode

__all__ = ["FlowForm", "NewProjectForm", "ProjectForm", "checked"]
NUMBERS = ("overlap_most", "review_share", "gold_share", "gold_minimum")
PERCENT = ("agreement_target", "gold_pause_below")
"""Typed in percent, kept as 0 to 1; empty: none."""


class FlowForm(forms.Form):
    """How people work together; `flow()` gives it in the form of `flow.Flow`. What is left out has its usual value."""

    agreement_target = forms.IntegerField(
        label=_("Agreement wanted, in percent"),
        help_text=_("Records on which people agree less wait for somebody who decides. Empty: none do."),
        min_value=1,
        max_value=100,
        required=False,
    )
    overlap_most = forms.IntegerField(
        label=_("At most so many people per record, when people are added until they agree"),
        initial=5,
        min_value=2,
        max_value=50,
        required=False,
    )
    review_share = forms.IntegerField(
        label=_("Reviewed by others, in percent"), initial=0, min_value=0, max_value=100, required=False
    )
    gold_share = forms.IntegerField(
        label=_("Hidden gold questions, in percent"), initial=0, min_value=0, max_value=50, required=False
    )
    gold_pause_below = forms.IntegerField(
        label=_("Pause whoever scores below, in percent"),
        help_text=_("On gold questions. Empty: nobody is paused."),
        min_value=1,
        max_value=100,
        required=False,
    )
    gold_minimum = forms.IntegerField(
        label=_("… after so many gold questions"), initial=5, min_value=1, max_value=1000, required=False
    )
    members_only = forms.BooleanField(label=_("Only people with a role in the project see it"), required=False)
    seeing = forms.BooleanField(label=_("Not blind: people see what others answered, reviewers see names"), required=False)

    def flow(self) -> dict[str, Any]:
        given = self.cleaned_data
        values = {name: self.fields[name].initial if given[name] is None else given[name] for name in NUMBERS}
        shares = {name: given[name] / 100 if given[name] else None for name in PERCENT}
        return {**values, **shares, "members_only": given["members_only"], "blind": not given["seeing"]}

    @staticmethod
    def initial_of(project: LabelProject) -> dict[str, Any]:
        shares = {name: getattr(project, name) for name in PERCENT}
        return {
            **{name: getattr(project, name) for name in NUMBERS},
            **{name: None if share is None else round(share * 100) for name, share in shares.items()},
            "members_only": project.members_only,
            "seeing": not project.blind,
        }


class NewProjectForm(FlowForm):
    questions = forms.JSONField(label=_("Questions"), widget=forms.HiddenInput)
    name = forms.CharField(label=_("Name of the project"), max_length=120)
    instructions = forms.CharField(label=_("Instructions"), required=False, widget=forms.Textarea(attrs={"rows": 4}))
    overlap = forms.IntegerField(label=_("People per record"), initial=1, min_value=1, max_value=50)
    limit = forms.IntegerField(label=_("Only the first … records"), min_value=1, required=False)
    overlap_mode = forms.ChoiceField(
        label=_("How many people label a record"), choices=OverlapMode.choices, initial=OverlapMode.FIXED, required=False
    )
    overlap_share = forms.IntegerField(
        label=_("Share of the records with several people, in percent"), initial=100, min_value=1, max_value=100, required=False
    )

    def flow(self) -> dict[str, Any]:
        """With what can be chosen once only: how many people label a record."""
        given = self.cleaned_data
        mode, share = given["overlap_mode"] or OverlapMode.FIXED, given["overlap_share"] or 100
        return {**super().flow(), "overlap_mode": mode, "overlap_share": share}

    @classmethod
    def for_version(cls, version: DatasetVersion) -> "NewProjectForm":
        return cls(initial={"name": version.dataset.name[:120], "overlap": 1, "overlap_mode": OverlapMode.FIXED})


class ProjectForm(forms.Form):
    name = forms.CharField(label=_("Name of the project"), max_length=120)
    instructions = forms.CharField(label=_("Instructions"), required=False, widget=forms.Textarea(attrs={"rows": 6}))

"""The form that deploys a model. Every field has a default that is right most of the time."""

from typing import Any, get_args

from django import forms
from django.utils.translation import gettext_lazy as _

from workers.spec.serve import EngineName, ServeSpec, WeightFormat

ENGINES = {
    "auto": _("choose for me"),
    "openvino": _("OpenVINO, for CPUs"),
    "transformers": _("transformers, works with every architecture"),
    "lmdeploy": _("LMDeploy, for NVIDIA GPUs"),
}
WEIGHTS = {
    "auto": _("choose for me"),
    "f16": _("16 bit: as trained"),
    "q8_0": _("8 bit: half the memory"),
    "q4_0": _("4 bit: a quarter of the memory, a little less exact"),
}


def choices(names: Any, labels: dict[str, Any]) -> list[tuple[str, Any]]:
    """What the specification allows, with words for people."""
    return [(name, labels[name]) for name in get_args(names)]


class DeployForm(forms.Form):
    name = forms.CharField(
        label=_("Name for API clients"), max_length=80, required=False, help_text=_("Empty: the model's own name.")
    )
    engine = forms.ChoiceField(
        label=_("Engine"), choices=[(name, ENGINES[name]) for name in get_args(EngineName)], required=False
    )
    weights = forms.ChoiceField(
        label=_("Precision"), choices=[(name, WEIGHTS[name]) for name in get_args(WeightFormat)], required=False
    )
    context_length = forms.IntegerField(
        label=_("Context length in tokens"), min_value=64, required=False, help_text=_("Empty: what the model can.")
    )
    max_concurrent = forms.IntegerField(
        label=_("Answers at the same time"), min_value=1, max_value=1024, required=False, help_text=_("Empty: 32.")
    )
    kv_cache_mb = forms.IntegerField(
        label=_("Cache for running answers (MB)"), min_value=16, required=False, help_text=_("Empty: 256.")
    )
    threads = forms.IntegerField(
        label=_("Processor threads"), min_value=1, required=False, help_text=_("Empty: all cores but one.")
    )

    def spec(self, model_id: int) -> ServeSpec:
        """Fields left empty keep the defaults of the specification."""
        given: dict[str, Any] = {name: value for name, value in self.cleaned_data.items() if value not in {None, ""}}
        given.pop("name", None)
        return ServeSpec.model_validate({"model": model_id, **given})


def spec_rows(spec: dict[str, Any]) -> list[tuple[Any, Any]]:
    """What was chosen for a deployment, in the words of the form; what was left to us is left out."""
    fields = DeployForm.base_fields
    return [(fields[name].label, value) for name, value in spec.items() if name in fields and value not in {None, "auto"}]

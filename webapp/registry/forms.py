"""Forms of model pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.registry.models import Model, ModelKind
from webapp.registry.queries import ready_models


class ImportForm(forms.Form):
    folder = forms.CharField(
        label=_("Folder on the server"),
        required=False,
        help_text=_("A model in Hugging Face format with safetensors weights, below one of the allowed folders."),
        widget=forms.TextInput(attrs={"list": "folders", "placeholder": "my-model"}),
    )
    hub_id = forms.CharField(
        label=_("Name on the hub"),
        required=False,
        help_text=_("owner/name, fetched from the hub or from the mirror that the operator named."),
        widget=forms.TextInput(attrs={"placeholder": "internlm/internlm3-8b-instruct"}),
    )
    hub = forms.ChoiceField(
        label=_("Hub"),
        choices=[("huggingface", "Hugging Face"), ("modelscope", "ModelScope")],
        initial="huggingface",
        required=False,
    )
    revision = forms.CharField(label=_("Version on the hub"), required=False, initial="main")
    name = forms.CharField(label=_("Name here"), required=False, max_length=120, help_text=_("Left empty: the folder's name."))
    base = forms.ModelChoiceField(
        queryset=Model.objects.none(),
        label=_("Base of an adapter"),
        required=False,
        empty_label=_("none"),
        help_text=_("Only for a LoRA adapter: the model that it was trained on."),
    )

    def clean_hub(self) -> str:
        return str(self.cleaned_data["hub"] or "huggingface")


class EndpointForm(forms.Form):
    url = forms.URLField(
        label=_("Address"),
        assume_scheme="https",
        help_text=_("An OpenAI-compatible interface; the address usually ends in /v1."),
        widget=forms.URLInput(attrs={"placeholder": "https://api.example.com/v1"}),
    )
    key = forms.CharField(
        label=_("Key"),
        required=False,
        help_text=_("Kept encrypted and never shown again."),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    remote_name = forms.CharField(
        label=_("Model name there"), required=False, help_text=_("Left empty when the endpoint offers one model only.")
    )
    name = forms.CharField(label=_("Name here"), required=False, max_length=120)


class ModelForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    family = forms.CharField(label=_("Family"), max_length=120, help_text=_("Versions of one family share a time line."))
    licence = forms.CharField(label=_("Licence"), required=False, max_length=60)
    languages = forms.CharField(label=_("Languages"), required=False, help_text=_("Codes, separated by commas: zh, en"))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 4}))

    base = forms.ModelChoiceField(
        queryset=Model.objects.none(),
        label=_("Base of an adapter"),
        required=False,
        empty_label=_("none"),
        help_text=_("Only for a LoRA adapter: the model that it was trained on."),
    )

    def __init__(self, model: Model, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if model.kind == ModelKind.ADAPTER:
            bases = ready_models(model.workspace, [ModelKind.BASE, ModelKind.TUNED])
            self.fields["base"].queryset = bases  # type: ignore[attr-defined]
        else:
            del self.fields["base"]

    def changes(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        base = given.pop("base", None)
        given["base_id"] = base.pk if base else None
        given["languages"] = [code for code in given["languages"].replace("，", ",").split(",") if code.strip()]
        return given

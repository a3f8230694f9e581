"""Forms of the data pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.core.errors import UserError
from webapp.datasets.filtering import FACET_NAMES

FORMATS = [
    ("auto", _("Recognise it")),
    ("jsonl", "JSON Lines"),
    ("json", "JSON"),
    ("csv", "CSV"),
    ("tsv", "TSV"),
    ("text", _("Plain text")),
    ("alpaca", "Alpaca"),
    ("sharegpt", "ShareGPT"),
    ("openai", "OpenAI messages"),
    ("preference", _("Preferences (chosen, rejected)")),
    ("kto", _("Verdicts (KTO)")),
    ("ranking", _("Answers to rank")),
    ("moss", "MOSS"),
    ("guanaco", "Guanaco"),
    ("labelllm", "LabelLLM"),
    ("wanjuan", "WanJuan"),
    ("coco", "COCO"),
    ("voc", "Pascal VOC"),
    ("yolo", "YOLO"),
    ("labelme", "labelme"),
    ("asr", _("ASR manifest")),
    ("folder", _("Folder of media")),
    ("conll", "CoNLL"),
    ("labelstudio", "Label Studio"),
    ("labelu", "LabelU"),
    ("parquet", "Parquet"),
    ("webdataset", "WebDataset"),
    ("document", _("Document (PDF, DOCX, EPUB, HTML)")),
]
ENCODINGS = [("auto", _("Recognise it")), ("utf-8", "UTF-8"), ("utf-16", "UTF-16"), ("gb18030", "GB18030")]
LANGUAGES = [("", _("Recognise it")), ("zh", _("Chinese")), ("en", _("English"))]
STRATA = ("language", "kind", "domain", "source", "modality")
MAPPED = {
    "text": _("Text"),
    "label": _("Label"),
    "question": _("Question"),
    "answer": _("Answer"),
    "system": _("System prompt"),
    "id": _("Id"),
}


class PreviewForm(forms.Form):
    """How a file is read; `map_<field>` names the column for a field of the record."""

    upload = forms.IntegerField(widget=forms.HiddenInput)
    format = forms.ChoiceField(label=_("Format"), choices=FORMATS, initial="auto", required=False)
    encoding = forms.ChoiceField(label=_("Encoding"), choices=ENCODINGS, initial="auto", required=False)

    def reading(self) -> dict[str, Any]:
        """Format, encoding and mapping as the services take them."""
        columns = {field: self.data.get(f"map_{field}", "").strip() for field in MAPPED}
        return {
            "format": self.cleaned_data["format"] or "auto",
            "encoding": self.cleaned_data["encoding"] or "auto",
            "mapping": {field: column for field, column in columns.items() if column},
        }


class FetchForm(forms.Form):
    """A dataset on a hub."""

    hub = forms.ChoiceField(label=_("Hub"), choices=[("huggingface", "Hugging Face"), ("modelscope", "ModelScope")])
    hub_id = forms.CharField(
        label=_("Name on the hub"), max_length=200, widget=forms.TextInput(attrs={"placeholder": "openai/gsm8k"})
    )
    revision = forms.CharField(label=_("Version"), required=False, max_length=200, help_text=_("Left empty: the newest."))
    file = forms.CharField(
        label=_("File or folder"), required=False, max_length=500, help_text=_("Left empty: all data files of its main format.")
    )


class ImportForm(PreviewForm):
    name = forms.CharField(label=_("Name of the dataset"), max_length=120)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    language = forms.ChoiceField(label=_("Language"), choices=LANGUAGES, required=False)
    licence = forms.CharField(label=_("Licence"), max_length=80, required=False)
    domain = forms.CharField(label=_("Domain"), max_length=80, required=False)

    def facets(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("language", "licence", "domain")}


class VersionImportForm(ImportForm):
    """Into a dataset that is there: its name is known."""

    name = None  # type: ignore[assignment]
    description = None  # type: ignore[assignment]


class SplitForm(forms.Form):
    percent = forms.FloatField(label=_("Held out, %"), initial=10, min_value=0.01, max_value=99.99)
    validation = forms.FloatField(
        label=_("For validation, %"), initial=0, min_value=0, max_value=99, required=False, help_text=_("0: no such part.")
    )
    stratify = forms.ChoiceField(
        label=_("Same share of every"),
        initial="label",
        required=False,
        choices=[("label", _("Label")), *((name, FACET_NAMES[name]) for name in STRATA), ("", _("– drawn from all –"))],
    )
    facet = forms.ChoiceField(
        label=_("Or as the records say"),
        required=False,
        choices=[("", _("– by the shares above –")), ("split", FACET_NAMES["split"]), ("source", FACET_NAMES["source"])],
        help_text=_("Each value of this facet becomes a part, at most eight."),
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, required=False)


class DatasetForm(forms.Form):
    name = forms.CharField(label=_("Name of the dataset"), max_length=120)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}))


def checked(form: forms.Form) -> dict[str, Any]:
    """The form's values, or its first error as a sentence."""
    if form.is_valid():
        return form.cleaned_data
    field, errors = next(iter(form.errors.items()))
    label = form.fields[field].label if field in form.fields else field
    raise UserError("form.invalid", "{field}: {reason}", status=422, field=str(label), reason=str(errors[0]))

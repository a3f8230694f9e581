"""The form of the stages, drawn from their specs; and what is suggested for a version."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from django import forms
from django.utils.functional import lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from pydantic.fields import FieldInfo

from webapp.datasets.models import DatasetVersion
from webapp.datasets.processing.wording import CHOICES, EXPLAINED, HELP, LABELS, STAGES
from workers.spec.processing import STAGE_ORDER, Stages

_said = lazy(gettext, str)
LONG_TOKENS = 150
RARE_LANGUAGE = 0.02
WIDE = {"rules.bad_words", "decontamination.against", "language.keep", "personal.kinds"}


class StagesForm(forms.Form):
    """Fields are named stage-setting (`rules-maximum_digits`); `versions` are offered for decontamination."""

    def __init__(self, *args: Any, versions: Iterable[DatasetVersion] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions = [(str(version.pk), str(version)) for version in versions]
        for stage in STAGE_ORDER:
            model = type(getattr(Stages(), stage))
            for name, info in model.model_fields.items():
                self.fields[f"{stage}-{name}"] = self._field(f"{stage}.{name}", info)

    def _field(self, path: str, info: FieldInfo) -> forms.Field:
        words: dict[str, Any] = {"label": _said(LABELS.get(path, "")), "help_text": _said(HELP[path]) if path in HELP else ""}
        if path.endswith(".on"):
            words["label"] = _said(STAGES[path.removesuffix(".on")])
        if path == "rules.bad_words":
            return forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4}), max_length=200_000, **words)
        choices = self._choices(path, info.annotation)
        if choices is not None and get_origin(info.annotation) is list:
            return forms.MultipleChoiceField(required=False, choices=choices, widget=forms.CheckboxSelectMultiple, **words)
        if choices is not None:
            return forms.ChoiceField(choices=choices, **words)
        return _simple_field(info, words)

    def _choices(self, path: str, kind: Any) -> list[tuple[str, Any]] | None:
        if path == "decontamination.against":
            return list(self.versions)
        values = (
            get_args(get_args(kind)[0]) if get_origin(kind) is list else get_args(kind) if get_origin(kind) is Literal else ()
        )
        return [(value, _said(CHOICES.get(value, value))) for value in values] if values else None

    def stages(self) -> Stages:
        """What was chosen; call it on a valid form."""
        chosen: dict[str, dict[str, Any]] = {stage: {} for stage in STAGE_ORDER}
        for path, value in self.cleaned_data.items():
            stage, name = path.split("-", 1)
            chosen[stage][name] = _read_value(path, value)
        return Stages.model_validate(chosen)

    def sections(self) -> list[dict[str, Any]]:
        """For the template: each stage with its switch and its settings, small fields before wide ones."""
        made = []
        for stage in STAGE_ORDER:
            fields = [self[name] for name in self.fields if name.startswith(f"{stage}-") and not name.endswith("-on")]
            narrow = [field for field in fields if field.name.replace("-", ".", 1) not in WIDE]
            wide = [field for field in fields if field.name.replace("-", ".", 1) in WIDE]
            made.append(
                {
                    "name": stage,
                    "label": gettext(STAGES[stage]),
                    "text": gettext(EXPLAINED[stage]),
                    "switch": self[f"{stage}-on"],
                    "switches": [field for field in narrow if isinstance(field.field, forms.BooleanField)],
                    "values": [field for field in narrow if not isinstance(field.field, forms.BooleanField)],
                    "wide": wide,
                    "failed": any(field.errors for field in fields),
                }
            )
        return made


def _simple_field(info: FieldInfo, words: dict[str, Any]) -> forms.Field:
    bounds = {"min_value": _bound(info, Ge, "ge"), "max_value": _bound(info, Le, "le")}
    if info.annotation is bool:
        return forms.BooleanField(required=False, **words)
    if info.annotation is float:
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "0.01"}), **bounds, **words)
    return forms.IntegerField(**bounds, **words)


def _read_value(path: str, value: Any) -> Any:
    if path == "rules-bad_words":
        return [line.strip() for line in value.splitlines() if line.strip()]
    return [int(item) for item in value] if path == "decontamination-against" else value


def _bound(info: FieldInfo, kind: type, name: str) -> Any:
    return next((getattr(item, name) for item in info.metadata if isinstance(item, kind)), None)


def initial(stages: Stages) -> dict[str, Any]:
    """Stages as the form's first values."""
    values: dict[str, Any] = {}
    for stage, settings in stages.model_dump(mode="json").items():
        for name, value in settings.items():
            values[f"{stage}-{name}"] = "\n".join(value) if f"{stage}.{name}" == "rules.bad_words" else value
    values["decontamination-against"] = [str(item) for item in stages.decontamination.against]
    return values


def suggested(version: DatasetVersion, evaluation: Iterable[int]) -> Stages:
    """Sensible stages for what a version is made of: long texts are judged harder than questions and labels."""
    stats: Mapping[str, Any] = version.stats
    long = stats.get("approximate_tokens", 0) >= LONG_TOKENS * max(1, version.count) and "text" in stats.get("kinds", {})
    languages: Mapping[str, int] = stats.get("languages", {})
    known = {name: count for name, count in languages.items() if name in dict(CHOICES) and name != "unknown"}
    keep = [name for name, count in known.items() if count >= RARE_LANGUAGE * max(1, version.count)]
    against = sorted(set(evaluation) - {version.pk})
    rules: dict[str, Any] = {}
    if long:
        rules = {
            "minimum_characters": 50, "minimum_stop_words": 2, "maximum_symbols": 0.3, "maximum_digits": 0.3,
            "maximum_urls": 0.3, "maximum_repeated_lines": 0.3, "maximum_repeated_ngrams": 0.3,
        }  # fmt: skip
    return Stages.model_validate(
        {
            "language": {"on": bool(keep) and len(known) > len(keep), "keep": keep or ["zh", "en"]},
            "rules": rules,
            "deduplication": {} if long else {"ngram": 3, "threshold": 0.75},
            "decontamination": {"on": bool(against), "against": against[:50]},
        }
    )


class SpotCheckForm(forms.Form):
    size = forms.IntegerField(label=_("Records to judge"), initial=100, min_value=1, max_value=5000)
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0, max_value=2**31 - 1, required=False)

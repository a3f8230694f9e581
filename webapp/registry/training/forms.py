"""The form of a run: four fields that are filled in, and everything else of the spec behind «Advanced»."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy
from pydantic import ValidationError

from webapp.accounts.models import Workspace
from webapp.core.errors import NotFound
from webapp.datasets.lineage import uses
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.jobs.models import Job
from webapp.registry.models import Model, ModelKind
from webapp.registry.queries import ready_models
from webapp.registry.registering import free_name
from webapp.registry.services import TRAINABLE
from webapp.registry.training.checks import first_records, missing_field, what_is_needed
from webapp.registry.training.presets import offered
from webapp.registry.training.services import TOKENIZER_SOURCES, TUNING, spec_class
from webapp.registry.training.spec_fields import (
    Group,
    SpecField,
    flattened,
    form_groups,
    label_of,
    mark_errors,
    own_field,
    read_form,
    text_of,
)
from webapp.registry.training.wording import LONG_CHOICES
from workers.spec.base import Spec

OFFERED = 200
TRIED = 20
VISIBLE = {
    "sft": {"datasets", "base_model", "method", "name"},
    "preference": {"datasets", "base_model", "loss", "method", "name"},
    "reward": {"datasets", "base_model", "method", "name"},
    "grpo": {"datasets", "base_model", "reward", "method", "name"},
    "pretrain": {"datasets", "base_model", "tokenizer", "name"},
    "tokenizer": {"datasets", "vocabulary", "name"},
}
TABS: dict[str, str | Promise] = {
    "sft": gettext_lazy("Fine-tune"),
    "preference": gettext_lazy("Preferences"),
    "reward": gettext_lazy("Reward model"),
    "grpo": gettext_lazy("Reinforcement"),
    "pretrain": gettext_lazy("Pre-train"),
    "tokenizer": gettext_lazy("Tokenizer"),
}


def tab_labels() -> dict[str, str]:
    return {kind: str(label) for kind, label in TABS.items()}


def number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 18 else None


def visible_choices(spec: type[Spec], kind: str, given: Mapping[str, str]) -> list[SpecField]:
    """Selects that are shown before «Advanced», method and loss and such, with what each choice means."""
    found = []
    for name in ("loss", "reward", "method"):
        if name in VISIBLE[kind] and name in spec.model_fields:
            item = own_field(spec, name)
            item.value = given.get(name) or item.default
            item.choices = [(value, gettext(LONG_CHOICES.get(value, label))) for value, label in item.choices]
            found.append(item)
    return found


def with_recipe(posted: QueryDict) -> Mapping[str, str]:
    """What was posted, with the settings of a recipe that a button brought (`apply`: settings as a query string)."""
    values = {name: str(value) for name, value in posted.items()}
    return values | dict(parse_qsl(values.pop("apply", "")))


def as_given(job: Job, kind: str) -> dict[str, str]:
    """The settings of an earlier run as a form would post them: to change some and run it again."""
    if job.kind != kind:
        raise NotFound
    values = {name: text_of(value) for name, value in flattened(job.spec).items() if value is not None}
    values["datasets"] = str(next(iter(job.spec.get("datasets", [])), ""))
    values["name"] = free_name(job.workspace, str(job.spec.get("name") or job.name))
    return values


class TrainingForm:
    """`given`: what was posted, or the query of a link that names a dataset or a base (?dataset=3&base_model=7)."""

    def __init__(self, workspace: Workspace, kind: str, given: Mapping[str, str]) -> None:
        self.workspace, self.kind, self.given = workspace, kind, given
        self.spec = spec_class(kind)
        self.errors: list[str] = []
        self.field_errors: dict[str, str] = {}
        self.groups: list[Group] = form_groups(self.spec, without=VISIBLE[kind], values=given)
        self.versions = self._versions()
        self.bases = list(ready_models(workspace, TRAINABLE)[:OFFERED]) if kind != "tokenizer" else []
        self.tokenizers = list(ready_models(workspace, TOKENIZER_SOURCES)[:OFFERED]) if kind == "pretrain" else []
        self.dataset = self._chosen("datasets", self.versions) or self._chosen("dataset", self.versions) or self._first_version()
        self.base = self._chosen("base_model", self.bases) or self._first_base()
        self.tokenizer = self._chosen("tokenizer", self.tokenizers) or self._first_tokenizer()
        self.method = given.get("method") or "auto"
        self.tunes = kind in TUNING
        self.choices = visible_choices(self.spec, kind, given)
        now = {item.path: item.value for group in self.groups for item in group.fields}
        self.presets = offered(now, self.tokenizer.vocabulary or 1024) if self.tokenizer else []
        self.vocabulary = given.get("vocabulary") or "1024"
        self.name = given.get("name") or free_name(workspace, self._name())

    def _versions(self) -> list[DatasetVersion]:
        found = DatasetVersion.objects.filter(dataset__workspace=self.workspace, state=VersionState.READY, count__gt=0)
        return list(found.select_related("dataset").order_by("-pk")[:OFFERED])

    def _chosen(self, name: str, offered: list[Any]) -> Any:
        wanted = number(self.given.get(name))
        return next((item for item in offered if item.pk == wanted), None)

    def _first_version(self) -> DatasetVersion | None:
        """The newest version that the method can use, better one that no suite asks from: questions are not for learning."""
        usable = [
            version
            for version in self.versions[:TRIED]
            if any(
                not missing_field(record, what_is_needed(self.kind, self.given.get("loss", "")))
                for record in first_records(version, 3)
            )
        ]
        unasked = (version for version in usable if not any(use.kind == "suites" for use in uses([version])))
        return next(unasked, next(iter(usable or self.versions), None))

    def _first_base(self) -> Model | None:
        """Fine-tuning starts from the newest base model; pre-training from scratch when a tokenizer is there."""
        if self.kind == "pretrain":
            return None
        return next((model for model in self.bases if model.kind == ModelKind.BASE), self.bases[0] if self.bases else None)

    def _first_tokenizer(self) -> Model | None:
        found = (model for model in self.tokenizers if model.kind == ModelKind.TOKENIZER)
        return next(found, self.tokenizers[0] if self.tokenizers else None)

    def _name(self) -> str:
        data = self.dataset.dataset.name if self.dataset else ""
        if self.kind == "tokenizer":
            return gettext("%(data)s tokenizer") % {"data": data}
        if self.kind == "pretrain":
            return gettext("%(data)s base") % {"data": data}
        return f"{self.base.name if self.base else ''} · {data}"[:110]

    @property
    def missing(self) -> str:
        """What must be there before this form is of use: datasets, models or nothing."""
        if not self.versions:
            return "datasets"
        if (self.tunes and not self.bases) or (self.kind == "pretrain" and not self.tokenizers):
            return "models"
        return ""

    def values(self) -> dict[str, Any]:
        """What was posted, for the spec."""
        posted = self.given
        values = read_form(self.spec, posted, without=VISIBLE[self.kind])
        dataset = number(posted.get("datasets"))
        values |= {"name": (posted.get("name") or self.name).strip(), "datasets": [] if dataset is None else [dataset]}
        for role in {"base_model", "tokenizer"} & VISIBLE[self.kind]:
            if (chosen := number(posted.get(role))) is not None:
                values[role] = chosen
        for plain in {"method", "vocabulary", "loss", "reward"} & VISIBLE[self.kind]:
            if posted.get(plain):
                values[plain] = posted[plain]
        if self.kind == "pretrain" and "base_model" in values:
            values.pop("tokenizer", None)
            values.pop("architecture", None)
        return values

    def mark(self, error: ValidationError) -> None:
        """Put each complaint where it belongs; the rest above the form."""
        for text in mark_errors(self.groups, error):
            name, _, reason = text.partition(": ")
            if name in VISIBLE[self.kind]:
                self.field_errors[name] = reason
            else:
                self.errors.append(f"{label_of(name)}: {reason}" if name else reason)

    @property
    def opens_advanced(self) -> bool:
        return any(item.error or item.is_changed for group in self.groups for item in group.fields)

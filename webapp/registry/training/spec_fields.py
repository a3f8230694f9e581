"""A form drawn from a pydantic spec: one field per setting, nested specs as groups, and the way back from strings."""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from webapp.core.library_words import explain
from webapp.registry.training.wording import CHOICES, GROUPS, HELP, LABELS
from workers.spec.base import Spec

Control = Literal["number", "select", "checkbox", "lines", "words", "text"]


@dataclass
class SpecField:
    """One setting. `path`: dotted place in the spec and name in the form; `default`: what an untouched form means."""

    path: str
    label: str
    help: str
    control: Control
    default: str
    placeholder: str = ""
    minimum: str = ""
    maximum: str = ""
    step: str = "any"
    choices: list[tuple[str, str]] = field(default_factory=list)
    value: str = ""
    error: str = ""

    @property
    def is_changed(self) -> bool:
        return self.value != self.default


@dataclass
class Group:
    label: str
    fields: list[SpecField]


def form_groups(spec: type[Spec], *, without: set[str], values: Mapping[str, str] | None = None) -> list[Group]:
    """All settings but `without`, in the order of the spec: its own first, then a group for each nested spec."""
    own, nested = [], []
    for name, info in spec.model_fields.items():
        if name in without:
            continue
        inner = _nested(info.annotation)
        if inner is None:
            own.append(_field(name, info))
        else:
            label = gettext(GROUPS.get(name, name.replace("_", " ")))
            nested.append(Group(label, [_field(f"{name}.{key}", item) for key, item in inner.model_fields.items()]))
    groups = [Group(gettext(GROUPS[""]), own), *nested]
    for group in groups:
        for item in group.fields:
            given = (values or {}).get(item.path)
            item.value = item.default if given is None else given
    return groups


def own_field(spec: type[Spec], name: str) -> SpecField:
    """One setting by itself."""
    return _field(name, spec.model_fields[name])


def _plain(annotation: Any) -> Any:
    """`X` of `X | None`."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return parts[0] if len(parts) == 1 else annotation
    return annotation


def _nested(annotation: Any) -> type[Spec] | None:
    plain = _plain(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, Spec) else None


def _field(path: str, info: FieldInfo) -> SpecField:
    plain, name = _plain(info.annotation), path.rsplit(".", maxsplit=1)[-1]
    default = info.get_default(call_default_factory=True)
    limits = {key: getattr(rule, key) for rule in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    found = SpecField(
        path=path,
        label=label_of(path),
        help=_help(path, name, info),
        control=_control(plain),
        default=text_of(default),
        placeholder=gettext(HELP["automatic"]) if default is None else "",
        minimum=str(limits.get("ge", limits.get("gt", ""))),
        maximum=str(limits.get("le", limits.get("lt", ""))),
        step="1" if plain is int else "any",
    )
    if found.control == "select":
        found.choices = [(str(value), gettext(CHOICES.get(str(value), str(value)))) for value in typing.get_args(plain)]
    return found


def _help(path: str, name: str, info: FieldInfo) -> str:
    text = HELP.get(path) or HELP.get(name) or info.description
    return gettext(text) if text else ""


def _control(plain: Any) -> Control:
    if plain is bool:
        return "checkbox"
    if plain in {int, float}:
        return "number"
    if typing.get_origin(plain) is Literal:
        return "select"
    if typing.get_origin(plain) is list:
        return "lines"
    return "text"


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def read_form(spec: type[Spec], posted: Mapping[str, str], *, without: set[str]) -> dict[str, Any]:
    """Posted strings as values for the spec. Only what differs from the default is set, so that defaults stay the spec's."""
    values: dict[str, Any] = {}
    for group in form_groups(spec, without=without):
        for item in group.fields:
            given = posted.get(item.path)
            text = (
                ("on" if given else "") if item.control == "checkbox" else (given if given is not None else item.default).strip()
            )
            if item.control == "checkbox" and "advanced" not in posted:
                continue  # a form that never showed the settings says nothing about its boxes
            if text.replace("\r\n", "\n") != item.default:
                _set(values, item.path, _value(item, text))
    return values


def _value(item: SpecField, text: str) -> Any:
    if item.control == "checkbox":
        return text == "on"
    if item.control == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text or None


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[name] = value


def mark_errors(groups: list[Group], error: ValidationError) -> list[str]:
    """Put each complaint beside its field; returns those that belong to no field shown."""
    fields = {item.path: item for group in groups for item in group.fields}
    left = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
        reason = explain(problem["msg"]) or problem["msg"]
        if path in fields:
            fields[path].error = reason
        else:
            left.append(f"{path}: {reason}")
    return left


def label_of(path: str) -> str:
    name = path.rsplit(".", maxsplit=1)[-1]
    return gettext(LABELS.get(path) or LABELS.get(name) or name.replace("_", " "))


def flattened(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """path → value of every setting of a dumped spec."""
    values: dict[str, Any] = {}
    for name, value in spec.items():
        values |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return values

"""Where a version comes from and what was made from it, whichever app holds it: found through the relations that
point at versions, so that this app needs to know none of its users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import ManyToManyRel
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.urls import NoReverseMatch, reverse

from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import ALIVE, Job

LISTED = 20
GENERATIONS = 12
OWN_PARTS = {"records"}
PAGES = {"label_projects": "label_project", "models": "model", "suites": "suite", "children": "dataset_version"}
"""Accessor on a version → name of the page of one such thing (arguments: workspace slug, id)."""


@dataclass(frozen=True)
class Use:
    """Something that was made from a version: `kind` is the relation (models, suites, label_projects, children)."""

    kind: str
    name: str
    url: str


def uses(versions: Sequence[DatasetVersion]) -> list[Use]:
    """What was made from these versions, the newest first within each kind."""
    found = []
    for relation in _relations():
        for thing in _users(relation, versions):
            found.append(Use(str(relation.get_accessor_name()), str(thing), _url(relation, thing, versions[0])))
    return found


def ancestors(version: DatasetVersion) -> list[DatasetVersion]:
    """The versions that it descends from, the nearest first, at most GENERATIONS."""
    found: list[DatasetVersion] = []
    seen, parent_id = {version.pk}, version.parent_id
    while parent_id and parent_id not in seen and len(found) < GENERATIONS:
        seen.add(parent_id)
        parent = DatasetVersion.objects.select_related("dataset").get(pk=parent_id)
        found.append(parent)
        parent_id = parent.parent_id
    return found


def _relations() -> list[ForeignObjectRel]:
    relations = [field for field in DatasetVersion._meta.get_fields() if isinstance(field, ForeignObjectRel)]
    return [relation for relation in relations if relation.get_accessor_name() not in {None, *OWN_PARTS}]


def _users(relation: ForeignObjectRel, versions: Sequence[DatasetVersion]) -> list[Any]:
    if not versions:
        return []
    field = relation.field.name if isinstance(relation, ManyToManyRel) else relation.remote_field.name
    found = relation.related_model._default_manager.filter(**{f"{field}__in": [version.pk for version in versions]})
    if relation.get_accessor_name() == "children":
        found = found.exclude(pk__in=[version.pk for version in versions]).select_related("dataset")
    return list(found.distinct().order_by("-pk")[:LISTED])


def _url(relation: ForeignObjectRel, thing: Any, version: DatasetVersion) -> str:
    name = PAGES.get(str(relation.get_accessor_name()))
    try:
        return reverse(name, args=[version.dataset.workspace.slug, thing.pk]) if name else ""
    except NoReverseMatch:
        return ""


def require_unused(versions: Sequence[DatasetVersion]) -> None:
    """Refuse to delete what something was made from; derived versions hold their own records and do not count."""
    in_the_way = [use.name for use in uses(versions) if use.kind != "children"]
    if versions:
        alive = Job.objects.filter(workspace_id=versions[0].dataset.workspace_id, state__in=ALIVE)
        wanted = {version.pk for version in versions}
        in_the_way += [job.name for job in alive if wanted & _named_in(job.spec)]
    if in_the_way:
        raise UserError(
            "dataset.in_use",
            "“{name}” is used by {users}; delete those first.",
            status=409,
            name=str(versions[0]) if len(versions) == 1 else versions[0].dataset.name,
            users=", ".join(f"“{name}”" for name in in_the_way[:5]),
        )


def _named_in(spec: dict[str, Any]) -> set[int]:
    """Dataset versions that a job's spec names, as `datasets: [ids]` or, in an evaluation, `dataset: id`."""
    named = set(spec.get("datasets") or [])
    if "version" not in spec and isinstance(spec.get("dataset"), int):
        named.add(spec["dataset"])
    return named

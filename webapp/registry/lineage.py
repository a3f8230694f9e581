"""Where a model comes from and what came of it. Apps above (evaluations, deployments) say through a hook what they made of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.kinds import all_kinds, get_kind
from webapp.jobs.models import ALIVE, Job
from webapp.registry.models import Model

DEEPEST = 20


@dataclass(frozen=True)
class Node:
    """One thing in a model's lineage. `holds`: the model may not be deleted while this exists."""

    kind: str
    name: str
    url: str
    state: str = ""
    detail: str = ""
    holds: bool = False


Hook = Callable[[Model], Iterable[Node]]
_hooks: dict[str, Hook] = {}

KIND_LABELS = {
    "dataset": _("dataset"),
    "job": _("job"),
    "base": _("base model"),
    "tokenizer": _("tokenizer"),
    "model": _("model"),
    "evaluation": _("evaluation"),
    "deployment": _("deployment"),
}
KIND_ICONS = {
    "dataset": "database",
    "job": "activity",
    "base": "box",
    "tokenizer": "alphabet-latin",
    "model": "box",
    "evaluation": "certificate",
    "deployment": "rocket",
}


def register_descendants(name: str, hook: Hook) -> None:
    """`hook(model)` names what another app made of a model. Registering a name again replaces it."""
    _hooks[name] = hook


def ancestors(model: Model) -> list[list[Node]]:
    """Generations before the model, the oldest first: datasets, then the job that used them, along the chain of bases."""
    generations: list[list[Node]] = []
    for step in chain(model):
        slug = step.workspace.slug
        made = [_dataset_node(version, slug) for version in step.datasets.select_related("dataset").order_by("pk")]
        if step.job is not None:
            made.append(_job_node(step.job, slug))
        before = [_model_node(step.base, "base")] if step.base is not None else []
        generations.append(before + made)
    return [generation for generation in reversed(generations) if generation]


def chain(model: Model) -> list[Model]:
    """The model, its base, the base's base …"""
    steps: list[Model] = [model]
    while (base_id := steps[-1].base_id) is not None and len(steps) < DEEPEST:
        steps.append(Model.objects.select_related("workspace", "job", "base").get(pk=base_id))
    return steps


def descendants(model: Model) -> list[Node]:
    """What came of the model: models that continue it, and what the hooks know."""
    found = [_model_node(child, "model", holds=True) for child in model.descendants.order_by("pk")]
    for hook in _hooks.values():
        found.extend(hook(model))
    return found


def _model_node(model: Model, kind: str, *, holds: bool = False) -> Node:
    url = reverse("model", args=[model.workspace.slug, model.pk])
    return Node(kind, model.name, url, state=model.state, detail=str(model.get_kind_display()), holds=holds)


def _job_node(job: Job, slug: str) -> Node:
    known = {kind.name for kind in all_kinds()}
    detail = str(get_kind(job.kind).label) if job.kind in known else job.kind
    return Node("job", job.name, reverse("job", args=[slug, job.pk]), state=job.state, detail=detail)


def _dataset_node(version: DatasetVersion, slug: str) -> Node:
    return Node("dataset", str(version), reverse("dataset_version", args=[slug, version.pk]), detail=f"{version.count:,}")


def jobs_using(model: Model) -> list[Job]:
    """Jobs under way whose spec names the model."""
    roles = ("base_model", "tokenizer", "model")
    alive = Job.objects.filter(workspace_id=model.workspace_id, state__in=ALIVE)
    return [job for job in alive if any(job.spec.get(role) == model.pk for role in roles)]


def require_unused(model: Model) -> None:
    """Refuse to delete a model on which something stands."""
    in_the_way = [node.name for node in descendants(model) if node.holds] + [job.name for job in jobs_using(model)]
    if in_the_way:
        raise UserError(
            "model.in_use",
            "“{name}” is used by {users}; delete those first.",
            status=409,
            name=model.name,
            users=", ".join(f"“{name}”" for name in in_the_way[:5]),
        )

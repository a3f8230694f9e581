"""What pages and the API read of models: families with their versions, descendants' names."""

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from webapp.accounts.models import Workspace
from webapp.registry.models import Model, ModelKind, ModelState

FAMILY_LIMIT = 500


@dataclass(frozen=True)
class Family:
    """Versions from the oldest to the newest."""

    name: str
    models: list[Model]

    @property
    def newest(self) -> Model:
        return self.models[-1]


def workspace_models(workspace: Workspace, *, kind: str = "", search: str = "") -> QuerySet[Model]:
    models = Model.objects.filter(workspace=workspace).select_related("base", "job", "created_by", "workspace")
    if kind:
        models = models.filter(kind=kind)
    if search:
        models = models.filter(Q(name__icontains=search) | Q(family__icontains=search) | Q(description__icontains=search))
    return models


def families(workspace: Workspace, *, kind: str = "", search: str = "") -> list[Family]:
    """Families, the one with the newest version first."""
    grouped: dict[str, list[Model]] = defaultdict(list)
    for model in workspace_models(workspace, kind=kind, search=search).order_by("-pk")[:FAMILY_LIMIT]:
        grouped[model.family or model.name].append(model)
    return [Family(name, list(reversed(models))) for name, models in grouped.items()]


def ready_models(workspace: Workspace, kinds: list[ModelKind]) -> QuerySet[Model]:
    """Models that a form offers, the newest first."""
    found = Model.objects.filter(workspace=workspace, state=ModelState.READY, kind__in=kinds)
    return found.select_related("base").order_by("-pk")


def family_versions(model: Model) -> list[Model]:
    """The models of its family from the oldest to the newest, itself among them."""
    return list(Model.objects.filter(workspace=model.workspace_id, family=model.family).order_by("pk")[:100])

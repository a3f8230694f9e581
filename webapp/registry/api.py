"""The API of models, below /api/v1/."""

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.errors import translate
from webapp.core.paging import paginate
from webapp.registry import card, lineage, queries, services, starter
from webapp.registry.access import access_model
from webapp.registry.models import Model
from webapp.registry.training.api import router as training
from webapp.registry.training.recipe_api import router as training_recipes
from webapp.registry.training.runs_api import router as training_runs
from workers.spec.data import HubName

router = Router()
router.add_router("", training)
router.add_router("", training_runs)
router.add_router("", training_recipes)


class ModelOut(Schema):
    id: int
    name: str
    family: str
    kind: str
    state: str
    base_id: int | None
    job_id: int | None
    architecture: str
    parameters: int
    context_length: int
    vocabulary: int
    languages: list[str]
    licence: str
    description: str
    bytes: int
    weights_sha256: str
    template_hash: str
    origin: str
    endpoint_url: str
    endpoint_model: str
    created_at: datetime
    error: str = ""

    @staticmethod
    def resolve_error(model: Model) -> str:
        return translate(model.error.get("template", ""), model.error.get("params", {}))


class NodeOut(Schema):
    kind: str
    name: str
    url: str
    state: str
    detail: str


class ModelDetail(ModelOut):
    card: dict[str, Any]
    dataset_versions: list[int]
    chat_template: str = ""
    files: list[dict[str, Any]] = Field(default_factory=list)
    ancestors: list[list[NodeOut]] = Field(default_factory=list)
    descendants: list[NodeOut] = Field(default_factory=list)

    @staticmethod
    def resolve_dataset_versions(model: Model) -> list[int]:
        return list(model.datasets.order_by("pk").values_list("pk", flat=True))

    @staticmethod
    def resolve_chat_template(model: Model) -> str:
        return str(card.template_text(model).get("source", ""))

    @staticmethod
    def resolve_files(model: Model) -> list[dict[str, Any]]:
        return card.files(model)

    @staticmethod
    def resolve_ancestors(model: Model) -> list[list[lineage.Node]]:
        return lineage.ancestors(model)

    @staticmethod
    def resolve_descendants(model: Model) -> list[lineage.Node]:
        return lineage.descendants(model)


class ModelPage(Schema):
    items: list[ModelOut]
    next_cursor: str | None


class ImportIn(Schema):
    """Either `folder` (on the server, below an allowed place) or `hub_id` (owner/name)."""

    folder: str = ""
    hub_id: str = ""
    hub: HubName = "huggingface"
    revision: str = "main"
    name: str = ""
    base_id: int | None = Field(None, description="the base of an imported LoRA adapter")
    idempotency_key: str | None = None


class EndpointIn(Schema):
    url: str
    key: str = ""
    remote_name: str = ""
    name: str = ""
    check: bool = True


class ModelChanges(Schema):
    name: str | None = None
    family: str | None = None
    description: str | None = None
    licence: str | None = None
    languages: list[str] | None = None
    base_id: int | None = Field(None, description="of a LoRA adapter: the model that it was trained on")


class ExportIn(Schema):
    format: Literal["folder", "zip", "gguf"] = "zip"
    merge: bool = True
    idempotency_key: str | None = None


class MergeIn(Schema):
    name: str = ""


class JobRef(Schema):
    job_id: int


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@router.get("/workspaces/{slug}/models", response=ModelPage)
def list_models(
    request: HttpRequest, slug: str, kind: str = "", search: str = "", cursor: str | None = None, limit: int = 50
) -> Any:
    """Models of a workspace, the newest first."""
    workspace = access_workspace(asker(request), slug)
    return paginate(queries.workspace_models(workspace, kind=kind, search=search), cursor=cursor, limit=limit)


@router.post("/workspaces/{slug}/models/import", response={202: ModelOut})
def import_model(request: HttpRequest, slug: str, payload: ImportIn) -> Status:
    """Start an import; the model is `building` until its job ends."""
    return Status(202, services.import_model(user=asker(request), slug=slug, **payload.dict()))


@router.post("/workspaces/{slug}/models/starter", response={201: ModelOut})
def add_starter(request: HttpRequest, slug: str) -> Status:
    """Add the starter that ships with the product (base and tuned); answers the tuned one. Repeatable."""
    return Status(201, starter.add_starter(user=asker(request), slug=slug))


@router.post("/workspaces/{slug}/models/endpoint", response={201: ModelOut})
def add_endpoint(request: HttpRequest, slug: str, payload: EndpointIn) -> Status:
    """Register a model behind an OpenAI-compatible endpoint. The key is kept encrypted and never given out."""
    return Status(201, services.add_endpoint(user=asker(request), slug=slug, **payload.dict()))


@router.get("/models/{model_id}", response=ModelDetail)
def get_model(request: HttpRequest, model_id: int) -> Any:
    return access_model(asker(request), model_id)


@router.patch("/models/{model_id}", response=ModelOut)
def update_model(request: HttpRequest, model_id: int, payload: ModelChanges) -> Any:
    return services.update_model(user=asker(request), model_id=model_id, **payload.dict(exclude_unset=True))


@router.delete("/models/{model_id}", response={204: None})
def delete_model(request: HttpRequest, model_id: int) -> Status:
    services.delete_model(user=asker(request), model_id=model_id)
    return Status(204, None)


@router.post("/models/{model_id}/export", response={202: JobRef})
def export_model(request: HttpRequest, model_id: int, payload: ExportIn) -> Status:
    job = services.export_model(user=asker(request), model_id=model_id, **payload.dict())
    return Status(202, {"job_id": job.pk})


@router.post("/models/{model_id}/merge", response={202: JobRef})
def merge_model(request: HttpRequest, model_id: int, payload: MergeIn) -> Status:
    job = services.merge_model(user=asker(request), model_id=model_id, name=payload.name)
    return Status(202, {"job_id": job.pk})

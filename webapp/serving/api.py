"""Deployments in the API. Requests to the models themselves go to /v1/ (OpenAI's form)."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from webapp.accounts.access import access_workspace
from webapp.core.paging import paginate
from webapp.serving import engines, queries, services
from webapp.serving.access import access_deployment
from webapp.serving.models import Deployment
from workers.spec.serve import ServeSpec

router = Router()


class DeploymentIn(ServeSpec):
    """`name` is what API clients call the model; left out, the model's own name is taken."""

    name: str = ""


class DeploymentError(Schema):
    code: str
    message: str


class DeploymentOut(Schema):
    id: int
    workspace: str
    name: str
    model: int
    model_name: str
    state: str
    is_remote: bool
    spec: dict[str, Any]
    engine: dict[str, Any]
    restarts: int
    error: DeploymentError | None
    created_by: str | None
    created_at: datetime
    ready_at: datetime | None

    @staticmethod
    def resolve_workspace(row: Deployment) -> str:
        return row.workspace.slug

    @staticmethod
    def resolve_model(row: Deployment) -> int:
        return row.model_id

    @staticmethod
    def resolve_model_name(row: Deployment) -> str:
        return row.model.name

    @staticmethod
    def resolve_error(row: Deployment) -> dict[str, str] | None:
        return {"code": row.error.get("code", ""), "message": queries.error_sentence(row)} if row.error else None

    @staticmethod
    def resolve_created_by(row: Deployment) -> str | None:
        return row.created_by.username if row.created_by else None

    @staticmethod
    def resolve_engine(row: Deployment) -> dict[str, Any]:
        return {name: value for name, value in row.engine.items() if name not in {"host", "port", "pid"}}


class Deployments(Schema):
    items: list[DeploymentOut]
    next_cursor: str | None


class UsageDay(Schema):
    day: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int


class UsageOut(Schema):
    items: list[UsageDay]


class Metrics(Schema):
    metrics: dict[str, Any] | None


class Log(Schema):
    text: str


@router.get("/workspaces/{slug}/deployments", response=Deployments)
def list_deployments(request: HttpRequest, slug: str, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    workspace = access_workspace(request.user, slug)  # type: ignore[arg-type]
    found = paginate(queries.workspace_deployments(workspace), cursor=cursor, limit=limit)
    return {"items": found.items, "next_cursor": found.next_cursor}


@router.post("/workspaces/{slug}/deployments", response={201: DeploymentOut})
def create_deployment(request: HttpRequest, slug: str, body: DeploymentIn) -> Status[Deployment]:
    """Serve a model. Without a name, one that serves just this already is started again."""
    spec = ServeSpec.model_validate(body.model_dump(exclude={"name"}))
    made = services.create_deployment(user=request.user, workspace=slug, spec=spec, name=body.name)  # type: ignore[arg-type]
    return Status(201, made)


@router.get("/deployments/{deployment_id}", response=DeploymentOut)
def get_deployment(request: HttpRequest, deployment_id: int) -> Deployment:
    return access_deployment(request.user, deployment_id)  # type: ignore[arg-type]


@router.post("/deployments/{deployment_id}/start", response=DeploymentOut)
def start(request: HttpRequest, deployment_id: int) -> Deployment:
    return services.start_deployment(user=request.user, deployment_id=deployment_id)  # type: ignore[arg-type]


@router.post("/deployments/{deployment_id}/stop", response=DeploymentOut)
def stop(request: HttpRequest, deployment_id: int) -> Deployment:
    return services.stop_deployment(user=request.user, deployment_id=deployment_id)  # type: ignore[arg-type]


@router.post("/deployments/{deployment_id}/restart", response=DeploymentOut)
def restart(request: HttpRequest, deployment_id: int) -> Deployment:
    return services.restart_deployment(user=request.user, deployment_id=deployment_id)  # type: ignore[arg-type]


@router.delete("/deployments/{deployment_id}", response={204: None})
def delete(request: HttpRequest, deployment_id: int) -> Status[None]:
    services.delete_deployment(user=request.user, deployment_id=deployment_id)  # type: ignore[arg-type]
    return Status(204, None)


@router.get("/deployments/{deployment_id}/usage", response=UsageOut)
def usage(request: HttpRequest, deployment_id: int, days: int = queries.USAGE_DAYS) -> dict[str, Any]:
    """Requests and tokens by day, zeros included, oldest first."""
    deployment = access_deployment(request.user, deployment_id)  # type: ignore[arg-type]
    return {"items": queries.usage_by_day(deployment, max(1, min(days, 366)))}


@router.get("/deployments/{deployment_id}/metrics", response=Metrics)
def metrics(request: HttpRequest, deployment_id: int) -> dict[str, Any]:
    """What the engine tells of itself now (null: it does not run)."""
    return {"metrics": queries.engine_metrics(access_deployment(request.user, deployment_id))}  # type: ignore[arg-type]


@router.get("/deployments/{deployment_id}/log", response=Log)
def log(request: HttpRequest, deployment_id: int) -> dict[str, str]:
    """The end of the engine's log."""
    return {"text": engines.read_log(access_deployment(request.user, deployment_id).pk)}  # type: ignore[arg-type]

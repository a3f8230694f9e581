"""The API of training, below /api/v1/: three ways to start a run, and the list of runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Header, Query, Router, Schema, Status

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.errors import NotFound
from webapp.core.paging import paginate
from webapp.registry.training import checks, planning, runs, services
from webapp.registry.training.planner_forms import ServingQuestion, TrainingQuestion
from workers.spec.base import Spec
from workers.spec.train import GrpoSpec, PreferenceSpec, PretrainSpec, RewardSpec, SftSpec, TokenizerSpec

router = Router()


class RunOut(Schema):
    """A training job; the rest of it (events, metrics, log, cancel …) is at /jobs/{id}."""

    id: int
    kind: str
    name: str
    state: str
    spec: dict[str, Any]
    result: dict[str, Any] | None
    created_at: datetime
    loss: float | None = None
    held_out_loss: float | None = None


class RunPage(Schema):
    items: list[RunOut]
    next_cursor: str | None


class CheckOut(Schema):
    """How many of the first records the method can use; `missing`: field → records that lack it; `row`: the first such."""

    seen: int
    usable: int
    missing: dict[str, int]
    row: str


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@dataclass(frozen=True)
class Entrance:
    """One way to start a run: its kind, its settings, and what the API's description says of it."""

    kind: str
    settings: type[Spec]
    name: str
    help: str


ENTRANCES = (
    Entrance(
        "sft",
        SftSpec,
        "start_fine_tuning",
        "Fine-tune. `name`, `base_model` and `datasets` suffice; everything left out is chosen and recorded by the run.",
    ),
    Entrance("preference", PreferenceSpec, "start_preference", "Learn from preferences: DPO, ORPO, KTO, SimPO."),
    Entrance("reward", RewardSpec, "start_reward", "Train a reward model on chosen and rejected answers."),
    Entrance("grpo", GrpoSpec, "start_reinforcement", "Reinforcement with rewards that can be checked (GRPO)."),
    Entrance(
        "pretrain",
        PretrainSpec,
        "start_pretraining",
        "Pre-train from scratch (`tokenizer`, `architecture`) or continue (`base_model`).",
    ),
    Entrance("tokenizer", TokenizerSpec, "start_tokenizer", "Train a tokenizer."),
)


def _add(entrance: Entrance) -> None:
    settings = entrance.settings

    def start(
        request: HttpRequest,
        slug: str,
        payload: settings,  # type: ignore[valid-type]
        idempotency_key: str | None = Header(None, alias="Idempotency-Key"),
    ) -> Status:
        spec: Spec = payload
        values = spec.model_dump(exclude_unset=True)
        made = services.start_training(
            user=asker(request), slug=slug, kind=entrance.kind, values=values, idempotency_key=idempotency_key
        )
        return Status(202, made)

    start.__name__, start.__doc__ = entrance.name, entrance.help
    router.post(f"/workspaces/{{slug}}/training/{entrance.kind}", response={202: RunOut})(start)


for _entrance in ENTRANCES:
    _add(_entrance)


class FitOut(Schema):
    """A device with its verdict. Bytes; `parts` of the peak on one device; `recipe`: the steps down that make it fit."""

    device: str
    own: bool
    usable: float
    total: float
    parts: dict[str, float]
    verdict: str
    tokens_per_second: float | None = None
    seconds: float | None = None
    recipe: list[str] | None = None
    recipe_total: float | None = None
    requests: int | None = None


def _shape(request: HttpRequest, slug: str, model: str) -> tuple[Any, Any]:
    workspace = access_workspace(asker(request), slug)
    shape = planning.find_shape(asker(request), workspace, model)
    if shape is None:
        raise NotFound("planner.no_such_model", "There is no such model, or its config.json does not tell its shape.")
    return workspace, shape


@router.get("/workspaces/{slug}/planner/training", response=list[FitOut])
def plan_training(request: HttpRequest, slug: str, question: Query[TrainingQuestion]) -> list[dict[str, Any]]:
    """Memory and time of a training run on this machine and on the cards that people have (S8.7)."""
    workspace, shape = _shape(request, slug, question.model)
    rows = planning.rows(
        shape,
        question.plan(),
        tokens=question.million_tokens * 1e6,
        precision=question.precision,
        scale=planning.learned_scale(workspace),
    )
    return [
        {
            "device": row.device.name,
            "own": row.device.own,
            "usable": row.device.usable,
            "total": row.memory.total,
            "parts": dict(row.memory.parts),
            "verdict": row.verdict,
            "tokens_per_second": row.time.tokens_per_second,
            "seconds": row.time.seconds,
            "recipe": list(row.recipe.steps) if row.recipe else None,
            "recipe_total": row.recipe.memory.total if row.recipe else None,
        }
        for row in rows
    ]


@router.get("/workspaces/{slug}/planner/serving", response=list[FitOut])
def plan_serving(request: HttpRequest, slug: str, question: Query[ServingQuestion]) -> list[dict[str, Any]]:
    """Memory of a deployment, and how many requests fit at once (S10.7)."""
    _, shape = _shape(request, slug, question.model)
    rows = planning.serving_rows(shape, question.plan())
    return [
        {
            "device": row.device.name,
            "own": row.device.own,
            "usable": row.device.usable,
            "total": row.total,
            "parts": dict(row.parts),
            "verdict": row.verdict,
            "requests": row.requests,
        }
        for row in rows
    ]


@router.get("/workspaces/{slug}/training", response=RunPage)
def list_runs(request: HttpRequest, slug: str, kind: str = "", cursor: str | None = None, limit: int = 50) -> Any:
    workspace = access_workspace(asker(request), slug)
    return paginate(runs.workspace_runs(workspace, kind), cursor=cursor, limit=limit)


@router.get("/workspaces/{slug}/training/{kind}/check", response=CheckOut)
def check_dataset(request: HttpRequest, slug: str, kind: str, dataset: int) -> Any:
    """Whether a dataset version can be used by the method, judged by its first records."""
    workspace = access_workspace(asker(request), slug)
    services.spec_class(kind)
    return checks.check_version(services.usable_version(asker(request), workspace, dataset), kind)

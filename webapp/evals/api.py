"""The API of evaluation, below /api/v1/: suites, evaluations with their samples, leaderboards."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.errors import translate
from webapp.core.paging import paginate
from webapp.evals import queries, services
from webapp.evals.access import access_evaluation, access_suite
from webapp.evals.models import Evaluation, Sample, Suite

router = Router()


class SuiteOut(Schema):
    id: int
    name: str
    description: str
    version_id: int
    config: dict[str, Any]
    created_at: datetime


class SuitePage(Schema):
    items: list[SuiteOut]
    next_cursor: str | None


class SuiteIn(Schema):
    """`config` may be left out or partial: the method is guessed from the records."""

    version_id: int
    name: str = ""
    description: str = ""
    config: dict[str, Any] | None = None


class SuiteChanges(Schema):
    name: str | None = None
    description: str | None = None


class EvaluateIn(Schema):
    suite_id: int
    model_ids: list[int] = Field(min_length=1, max_length=services.MODELS_AT_ONCE)
    limit: int | None = Field(None, ge=1, description="ask only so many questions")
    seed: int = 0
    idempotency_key: str | None = None


class EvaluationOut(Schema):
    id: int
    suite_id: int
    model_id: int
    model: str
    job_id: int | None
    state: str
    score: float | None
    low: float | None
    high: float | None
    count: int
    correct: int
    seconds: float
    created_at: datetime
    error: str = ""

    @staticmethod
    def resolve_model(evaluation: Evaluation) -> str:
        return evaluation.model.name

    @staticmethod
    def resolve_error(evaluation: Evaluation) -> str:
        return translate(evaluation.error.get("template", ""), evaluation.error.get("params", {}))


class EvaluationDetail(EvaluationOut):
    summary: dict[str, Any]


class EvaluationPage(Schema):
    items: list[EvaluationOut]
    next_cursor: str | None


class SampleOut(Schema):
    position: int
    key: str
    correct: bool
    score: float
    data: dict[str, Any]


class SamplePage(Schema):
    items: list[SampleOut]
    next_cursor: str | None


class ComparisonOut(Schema):
    difference: float
    low: float
    high: float
    p: float
    n: int
    verdict: str


class LeaderboardRow(Schema):
    rank: int
    model_id: int
    model: str
    evaluation_id: int
    score: float | None
    low: float | None
    high: float | None
    count: int
    seconds: float
    tokens_per_second: float | None
    base_id: int | None
    against_base: ComparisonOut | None


class LeaderboardOut(Schema):
    suite: SuiteOut
    rows: list[LeaderboardRow]


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@router.get("/workspaces/{slug}/suites", response=SuitePage)
def list_suites(request: HttpRequest, slug: str, cursor: str | None = None, limit: int = 50) -> Any:
    workspace = access_workspace(asker(request), slug)
    return paginate(Suite.objects.filter(workspace=workspace), cursor=cursor, limit=limit)


@router.post("/workspaces/{slug}/suites", response={201: SuiteOut})
def create_suite(request: HttpRequest, slug: str, payload: SuiteIn) -> Status:
    """Make a suite from a dataset version."""
    return Status(201, services.create_suite(user=asker(request), slug=slug, **payload.dict()))


@router.get("/suites/{suite_id}", response=SuiteOut)
def get_suite(request: HttpRequest, suite_id: int) -> Any:
    return access_suite(asker(request), suite_id)


@router.patch("/suites/{suite_id}", response=SuiteOut)
def update_suite(request: HttpRequest, suite_id: int, payload: SuiteChanges) -> Any:
    return services.update_suite(user=asker(request), suite_id=suite_id, **payload.dict())


@router.delete("/suites/{suite_id}", response={204: None})
def delete_suite(request: HttpRequest, suite_id: int) -> Status:
    services.delete_suite(user=asker(request), suite_id=suite_id)
    return Status(204, None)


@router.get("/workspaces/{slug}/evaluations", response=EvaluationPage)
def list_evaluations(
    request: HttpRequest,
    slug: str,
    suite: int | None = None,
    model: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Any:
    workspace = access_workspace(asker(request), slug)
    found = Evaluation.objects.filter(workspace=workspace).select_related("model").defer(*queries.HEAVY)
    if suite is not None:
        found = found.filter(suite=suite)
    if model is not None:
        found = found.filter(model=model)
    return paginate(found, cursor=cursor, limit=limit)


@router.post("/workspaces/{slug}/evaluations", response={202: list[EvaluationOut]})
def run_evaluations(request: HttpRequest, slug: str, payload: EvaluateIn) -> Status:
    """Run one suite on several models: one job each."""
    access_workspace(asker(request), slug)
    return Status(202, services.run_evaluations(user=asker(request), **payload.dict()))


@router.get("/evaluations/{evaluation_id}", response=EvaluationDetail)
def get_evaluation(request: HttpRequest, evaluation_id: int) -> Any:
    return access_evaluation(asker(request), evaluation_id)


@router.delete("/evaluations/{evaluation_id}", response={204: None})
def delete_evaluation(request: HttpRequest, evaluation_id: int) -> Status:
    services.delete_evaluation(user=asker(request), evaluation_id=evaluation_id)
    return Status(204, None)


@router.get("/evaluations/{evaluation_id}/samples", response=SamplePage)
def list_samples(
    request: HttpRequest, evaluation_id: int, correct: bool | None = None, cursor: str | None = None, limit: int = 50
) -> Any:
    """Questions with prompt, reference and what the model made of them, in the order of the dataset."""
    evaluation = access_evaluation(asker(request), evaluation_id)
    samples = Sample.objects.filter(evaluation=evaluation)
    if correct is not None:
        samples = samples.filter(correct=correct)
    return paginate(samples, cursor=cursor, limit=limit, order="position")


@router.get("/workspaces/{slug}/leaderboards", response=list[LeaderboardOut])
def list_leaderboards(request: HttpRequest, slug: str) -> Any:
    """The leaderboards of the newest suites."""
    workspace = access_workspace(asker(request), slug)
    suites = Suite.objects.filter(workspace=workspace).order_by("-pk")[:20]
    return [_leaderboard(suite) for suite in suites]


@router.get("/leaderboards/{suite_id}", response=LeaderboardOut)
def get_leaderboard(request: HttpRequest, suite_id: int) -> Any:
    """Models of a suite by score. A rank is one more than the number of models that are significantly better."""
    return _leaderboard(access_suite(asker(request), suite_id))


def _leaderboard(suite: Suite) -> dict[str, Any]:
    return {"suite": suite, "rows": [_row(row) for row in queries.leaderboard(suite)]}


def _row(row: queries.Row) -> dict[str, Any]:
    item = row.evaluation
    return {
        "rank": row.rank,
        "model_id": item.model_id,
        "model": row.model.name,
        "evaluation_id": item.pk,
        "score": item.score,
        "low": item.low,
        "high": item.high,
        "count": item.count,
        "seconds": item.seconds,
        "tokens_per_second": row.tokens_per_second,
        "base_id": row.base.pk if row.base else None,
        "against_base": row.against_base,
    }

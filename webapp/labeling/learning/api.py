"""The API of learning from labels: rounds of a project, one round, cancelling it, and the plan of the next ones."""

from typing import Any

from ninja import Router, Status
from pydantic import Field

from webapp.accounts.models import Role
from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import In
from webapp.labeling.access import access_project
from webapp.labeling.learning import rounds, showing
from webapp.labeling.models import LearningPlan

router = Router()


class RoundIn(In):
    base_model: int | None = Field(None, description="the model that is fine-tuned and asked; null: the quick assistant")
    limit: int = Field(10_000, description="at most so many open tasks are scored")


class PlanIn(In):
    every: int = Field(description="start a round after so many new annotations; 0: never")
    base_model: int | None = None


def _plan(plan: LearningPlan | None) -> dict[str, Any]:
    return {"every": plan.every if plan else 0, "base_model": plan.base_model_id if plan else None}


@router.get("/label-projects/{project_id}/rounds")
def list_rounds(request: MemberRequest, project_id: int) -> dict[str, Any]:
    """The newest rounds first, and the plan."""
    project = access_project(request.user, project_id, role=Role.REVIEWER)
    plan = LearningPlan.objects.filter(project=project).first()
    return {"items": [showing.round_facts(made) for made in rounds.list_rounds(project)], "plan": _plan(plan)}


@router.post("/label-projects/{project_id}/rounds", response={201: dict[str, Any]})
def start_round(request: MemberRequest, project_id: int, payload: RoundIn) -> Status[dict[str, Any]]:
    """Learn from the labels so far: freeze, train, score the open tasks, least sure ones first."""
    made = rounds.start_round(user=request.user, project_id=project_id, base_model=payload.base_model, limit=payload.limit)
    return Status(201, showing.round_facts(made))


@router.put("/label-projects/{project_id}/learning-plan")
def set_plan(request: MemberRequest, project_id: int, payload: PlanIn) -> dict[str, Any]:
    """Rounds that start by themselves."""
    plan = rounds.plan_rounds(user=request.user, project_id=project_id, every=payload.every, base_model=payload.base_model)
    return _plan(plan)


@router.get("/learning-rounds/{round_id}")
def get_round(request: MemberRequest, round_id: int) -> dict[str, Any]:
    return showing.round_facts(rounds.access_round(request.user, round_id, role=Role.REVIEWER))


@router.post("/learning-rounds/{round_id}/cancel")
def cancel_round(request: MemberRequest, round_id: int) -> dict[str, Any]:
    return showing.round_facts(rounds.cancel_round(user=request.user, round_id=round_id))

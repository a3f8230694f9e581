"""The API of working together, below /api/v1/: people, assignment, gold questions, review, adjudication, agreement."""

from typing import Any, Literal

from ninja import Router, Status
from pydantic import Field

from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import In
from webapp.labeling import people, predicting, prelabeling, webhooks
from webapp.labeling.models import Contribution, Delivery, Webhook
from webapp.labeling.quality import adjudicating, gold, reporting, reviewing

router = Router()


class MemberIn(In):
    user: int
    role: Literal["manager", "reviewer", "annotator", "viewer", ""] = Field(description="empty: as in the workspace")


class AssignIn(In):
    """`count` open tasks that nobody has, or the tasks named."""

    user: int
    count: int | None = None
    tasks: list[int] | None = None


class PersonIn(In):
    user: int


class GoldIn(In):
    value: list[dict[str, Any]] | None = Field(description="the right answers; null makes it an ordinary task again")


class GoldCountIn(In):
    count: int


class ReviewIn(In):
    decision: Literal["accept", "fix", "reject", ""] = ""
    value: list[dict[str, Any]] | None = None
    reason: str = ""
    key: str = ""
    lead_time_ms: int | None = None
    revision: int | None = None
    prediction: int | None = None


class AdjudicationIn(In):
    value: list[dict[str, Any]]
    note: str = ""
    key: str = ""
    lead_time_ms: int | None = None
    revision: int | None = None
    prediction: int | None = None


class PredictionIn(In):
    """For the task with this id, or for the record with this key. `score`: how sure the model is, 0 to 1."""

    value: list[dict[str, Any]]
    score: float | None = None
    task: int | None = None
    key: str | None = None


class PredictionsIn(In):
    model: str = Field(description="which version of which model; its earlier predictions are replaced task by task")
    predictions: list[PredictionIn] = Field(max_length=10_000)


class PrelabelIn(In):
    deployment: int
    limit: int = 1000
    reorder: bool = True
    version: str = ""


class WebhookIn(In):
    url: str
    events: list[str] = Field(default=list(webhooks.EVENTS))


def _webhook(hook: Webhook) -> dict[str, Any]:
    return {"id": hook.pk, "url": hook.url, "secret": hook.secret, "events": hook.events, "is_active": hook.is_active}


def _delivery(sent: Delivery) -> dict[str, Any]:
    moments = {
        name: moment.isoformat() if (moment := getattr(sent, name)) else None
        for name in ("created_at", "delivered_at", "next_at")
    }
    return {
        "id": sent.pk,
        "event": sent.event,
        "attempts": sent.attempts,
        "status": sent.status,
        "trouble": sent.trouble,
        **moments,
    }


def _work(found: Contribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    names = ("submitted", "skipped", "lead_time_ms", "accepted", "fixed", "rejected", "reviewed", "gold_answered", "is_paused")
    return {name: getattr(found, name) for name in names}


@router.get("/label-projects/{project_id}/people")
def list_people(request: MemberRequest, project_id: int) -> list[dict[str, Any]]:
    """Everybody in the workspace: role in the project, tasks assigned, what was done, how it was judged."""
    found = people.list_people(user=request.user, project_id=project_id)
    return [{**person, "work": _work(person["work"])} for person in found]


@router.put("/label-projects/{project_id}/people", response={204: None})
def set_role(request: MemberRequest, project_id: int, payload: MemberIn) -> Status[None]:
    people.set_role(user=request.user, project_id=project_id, person=payload.user, role=payload.role)
    return Status(204, None)


@router.post("/label-projects/{project_id}/assignments")
def assign(request: MemberRequest, project_id: int, payload: AssignIn) -> dict[str, int]:
    """Reserve tasks for somebody."""
    made = people.assign(user=request.user, project_id=project_id, person=payload.user, count=payload.count, tasks=payload.tasks)
    return {"assigned": made}


@router.post("/label-projects/{project_id}/assignments/release")
def unassign(request: MemberRequest, project_id: int, payload: PersonIn) -> dict[str, int]:
    """Take back what somebody has not answered yet."""
    return {"released": people.unassign(user=request.user, project_id=project_id, person=payload.user)}


@router.post("/label-projects/{project_id}/people/resume", response={204: None})
def resume(request: MemberRequest, project_id: int, payload: PersonIn) -> Status[None]:
    """Let somebody go on whom gold questions paused."""
    gold.resume(user=request.user, project_id=project_id, person=payload.user)
    return Status(204, None)


@router.put("/tasks/{task_id}/gold", response={204: None})
def set_gold(request: MemberRequest, task_id: int, payload: GoldIn) -> Status[None]:
    gold.set_gold(user=request.user, task_id=task_id, value=payload.value)
    return Status(204, None)


@router.post("/label-projects/{project_id}/gold")
def make_gold(request: MemberRequest, project_id: int, payload: GoldCountIn) -> dict[str, int]:
    """Make gold questions of open tasks whose records bring the answers."""
    return {"made": gold.make_gold_from_data(user=request.user, project_id=project_id, count=payload.count)}


@router.get("/label-projects/{project_id}/reviews/next")
def next_review(request: MemberRequest, project_id: int) -> dict[str, Any]:
    """As `next` gives a task, with `kind` "review" and the author's annotation as the draft."""
    return reviewing.next_review(user=request.user, project_id=project_id).payload()


@router.post("/tasks/{task_id}/review")
def decide(request: MemberRequest, task_id: int, payload: ReviewIn) -> dict[str, Any]:
    """Accept, fix or reject the annotation that the reviewer holds; without a decision the value says which."""
    review = reviewing.decide(
        user=request.user, task_id=task_id, decision=payload.decision, value=payload.value, reason=payload.reason
    )
    decided = {"id": review.pk, "state": review.state, "reason": review.reason}
    return {"review": decided, "next": reviewing.next_review(user=request.user, project_id=review.project_id).payload()}


@router.get("/label-projects/{project_id}/disputes/next")
def next_dispute(request: MemberRequest, project_id: int, after: int = 0) -> dict[str, Any]:
    """A task on which people differ, with `kind` "adjudicate" and their answers side by side."""
    return adjudicating.next_dispute(user=request.user, project_id=project_id, after=after).payload()


@router.get("/tasks/{task_id}/dispute")
def dispute(request: MemberRequest, task_id: int) -> dict[str, Any]:
    """The answers to any task, side by side."""
    return adjudicating.dispute(user=request.user, task_id=task_id).payload()


@router.post("/tasks/{task_id}/adjudication")
def adjudicate(request: MemberRequest, task_id: int, payload: AdjudicationIn) -> dict[str, Any]:
    """Say what counts for a task."""
    made = adjudicating.adjudicate(user=request.user, task_id=task_id, value=payload.value, note=payload.note)
    following = adjudicating.next_dispute(user=request.user, project_id=made.project_id)
    return {"adjudication": {"id": made.pk, "value": made.value, "note": made.note}, "next": following.payload()}


@router.get("/label-projects/{project_id}/agreement")
def agreement(request: MemberRequest, project_id: int) -> dict[str, Any]:
    """Coefficients with 95 % bootstrap intervals by question, label and pair of people; the tasks with the least agreement."""
    return reporting.agreement_report(user=request.user, project_id=project_id)


@router.post("/label-projects/{project_id}/agreement")
def recount(request: MemberRequest, project_id: int) -> dict[str, int]:
    """Count agreement anew from the annotations; needed only after rows were brought in by other ways."""
    return {"tasks": reporting.recount(user=request.user, project_id=project_id)}


@router.post("/label-projects/{project_id}/predictions")
def add_predictions(request: MemberRequest, project_id: int, payload: PredictionsIn) -> dict[str, Any]:
    """Store what a model proposes; `refused` says which did not fit the questions."""
    given = [predicting.Proposed(**one.model_dump()) for one in payload.predictions]
    stored, refused = predicting.add_predictions(user=request.user, project_id=project_id, model=payload.model, predictions=given)
    return {"stored": stored, "refused": refused}


@router.post("/label-projects/{project_id}/reorder")
def reorder(request: MemberRequest, project_id: int) -> dict[str, int]:
    """The tasks about which the newest model is least sure come first."""
    return {"placed": predicting.order_by_uncertainty(user=request.user, project_id=project_id)}


@router.post("/label-projects/{project_id}/prelabel", response={201: dict[str, Any]})
def prelabel(request: MemberRequest, project_id: int, payload: PrelabelIn) -> Status[dict[str, Any]]:
    """Let a deployment propose answers, as a job."""
    job = prelabeling.start_prelabel(
        user=request.user, project_id=project_id, deployment_id=payload.deployment, limit=payload.limit,
        reorder_after=payload.reorder, version=payload.version,
    )  # fmt: skip
    return Status(201, {"job": job.pk})


@router.get("/label-projects/{project_id}/webhooks")
def list_webhooks(request: MemberRequest, project_id: int) -> list[dict[str, Any]]:
    """With their secrets, for managers."""
    return [_webhook(hook) for hook in webhooks.list_webhooks(user=request.user, project_id=project_id)]


@router.post("/label-projects/{project_id}/webhooks", response={201: dict[str, Any]})
def add_webhook(request: MemberRequest, project_id: int, payload: WebhookIn) -> Status[dict[str, Any]]:
    """Tell an address what happens here; messages are signed with the secret that the answer holds."""
    made = webhooks.add_webhook(user=request.user, project_id=project_id, url=payload.url, events=payload.events)
    return Status(201, _webhook(made))


@router.delete("/label-webhooks/{webhook_id}", response={204: None})
def delete_webhook(request: MemberRequest, webhook_id: int) -> Status[None]:
    webhooks.delete_webhook(user=request.user, webhook_id=webhook_id)
    return Status(204, None)


@router.get("/label-webhooks/{webhook_id}/deliveries")
def list_deliveries(request: MemberRequest, webhook_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    found = webhooks.list_deliveries(user=request.user, webhook_id=webhook_id, cursor=cursor, limit=limit)
    return {"items": [_delivery(sent) for sent in found.items], "next_cursor": found.next_cursor}


@router.post("/label-deliveries/{delivery_id}/again")
def send_again(request: MemberRequest, delivery_id: int) -> dict[str, Any]:
    return _delivery(webhooks.send_again(user=request.user, delivery_id=delivery_id))

"""What people ask of rounds of learning: start one, cancel it, let the next ones start by themselves; and the list of them."""

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import NotFound, UserError
from webapp.core.events import publish
from webapp.jobs.models import ENDED, Job
from webapp.jobs.services import cancel_job
from webapp.labeling.access import access_project
from webapp.labeling.models import LIVE_ROUNDS, LabelProject, LearningPlan, LearningRound, RoundState
from webapp.labeling.schema import ANSWER_SOURCE
from webapp.registry.access import access_ready_model
from webapp.registry.models import Model, ModelState
from webapp.registry.services import TRAINABLE
from webapp.serving.services import stop_deployment
from workers.spec.prelabel import is_quick

FEWEST_LABELS = 10
MOST_TASKS = 100_000
SHOWN = 20


@dataclass(frozen=True)
class Ways:
    """How a project's questions can be learnt: which by the quick assistant, which one by a language model."""

    quick: list[dict[str, Any]]
    model: list[dict[str, Any]]


def ways_of(project: LabelProject) -> Ways:
    """A language model learns what becomes part of a training record: the first single choice, else the written answer."""
    fields = project.schema["fields"]
    label = [field for field in fields if field["type"] == "choice" and not field.get("multiple")]
    answer = [field for field in fields if field["type"] == "text" and field.get("source") in {None, ANSWER_SOURCE}]
    return Ways(quick=[field for field in fields if is_quick(field)], model=(label or answer)[:1])


def start_round(
    *, user: User, project_id: int, base_model: int | None = None, limit: int = 10_000, is_automatic: bool = False
) -> LearningRound:
    """Learn from the labels so far. Without `base_model` the quick assistant does; a model is fine-tuned and deployed."""
    project = access_project(user, project_id, role=Role.MANAGER)
    _check(user, project, base_model)
    if not 1 <= limit <= MOST_TASKS:
        raise UserError("prelabel.bad_limit", "Choose between 1 and 100,000 tasks.", status=422)
    storage.require_space()
    try:
        with transaction.atomic():
            number = LearningRound.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
            made = LearningRound.objects.create(
                project=project,
                number=number + 1,
                base_model_id=base_model,
                is_quick=base_model is None,
                limit=limit,
                labels=project.annotation_count,
                is_automatic=is_automatic,
                created_by=user,
            )
    except IntegrityError as error:
        raise UserError("learning.running", "A round is running already; wait for it or cancel it.", status=409) from error
    record_audit(actor=user, workspace=project.workspace, action="label_project.learn", subject=project.name, round=made.number)
    tell(made)
    return made


def _check(user: User, project: LabelProject, base_model: int | None) -> None:
    ways = ways_of(project)
    if base_model is not None:
        access_ready_model(user, project.workspace, base_model, kinds=TRAINABLE)
    if not (ways.quick if base_model is None else ways.model):
        raise UserError(
            "learning.nothing_to_learn",
            "None of the questions can be learnt this way: the quick assistant learns choices, ratings, marked and corrected "
            "texts, a language model the first choice or a written answer.",
            status=422,
        )
    if project.annotation_count - project.skip_count < FEWEST_LABELS:
        raise UserError(
            "learning.too_few", "Label at least {count} records first; then there is something to learn from.",
            status=409, count=FEWEST_LABELS,
        )  # fmt: skip


def tell(round_: LearningRound) -> None:
    publish(f"workspace.{round_.project.workspace_id}", label_project=round_.project_id, round=round_.number, state=round_.state)


def access_round(user: User, round_id: int, *, role: str = Role.VIEWER) -> LearningRound:
    found = LearningRound.objects.select_related("project__workspace", "learn_job", "score_job", "deployment").filter(pk=round_id)
    made = found.first()
    if made is None:
        raise NotFound
    access_project(user, made.project_id, role=role)
    return made


def cancel_round(*, user: User, round_id: int) -> LearningRound:
    """Stop a round wherever it is; what it made so far (the version, a trained model) stays."""
    made = access_round(user, round_id, role=Role.MANAGER)
    if conclude(made, RoundState.CANCELLED):
        record_audit(
            actor=user, workspace=made.project.workspace, action="label_project.learn_cancel", subject=made.project.name,
            round=made.number,
        )  # fmt: skip
        let_go(made, user)
    return made


def conclude(made: LearningRound, state: str, **changes: Any) -> bool:
    """End a live round; False when it has ended already."""
    changes = {"state": state, "finished_at": timezone.now(), "claimed_until": None, **changes}
    ended = LearningRound.objects.filter(pk=made.pk, state__in=LIVE_ROUNDS).update(**changes)
    made.refresh_from_db()
    tell(made)
    return bool(ended)


def let_go(made: LearningRound, user: User) -> None:
    """Cancel the jobs of a round that ended and stop its deployment, also those that a worker is just starting."""
    keys = [key_of(made, step) for step in ("learn", "score")]
    jobs = Job.objects.filter(workspace=made.project.workspace_id, idempotency_key__in=keys).exclude(state__in=ENDED)
    for job in jobs.order_by("pk"):
        cancel_job(user=user, job_id=job.pk)
    if made.deployment_id is not None:
        stop_deployment(user=user, deployment_id=made.deployment_id)


def key_of(made: LearningRound, step: str) -> str:
    """Submitting a step again, after a crash, finds its job."""
    return f"learning-round-{made.pk}-{step}"


def plan_rounds(*, user: User, project_id: int, every: int, base_model: int | None = None) -> LearningPlan:
    """Start a round after every so many new annotations; 0: only when somebody asks."""
    project = access_project(user, project_id, role=Role.MANAGER)
    if every != 0 and not FEWEST_LABELS <= every <= 1_000_000:
        raise UserError(
            "learning.bad_every", "Choose 0 (never) or at least {count} new annotations.", status=422, count=FEWEST_LABELS
        )
    if base_model is not None:
        access_ready_model(user, project.workspace, base_model, kinds=TRAINABLE)
    plan, _created = LearningPlan.objects.update_or_create(
        project=project, defaults={"every": every, "base_model_id": base_model, "created_by": user}
    )
    record_audit(actor=user, workspace=project.workspace, action="label_project.learn_plan", subject=project.name, every=every)
    return plan


def list_rounds(project: LabelProject) -> list[LearningRound]:
    """The newest rounds first, with all that a table of them shows."""
    found = LearningRound.objects.filter(project=project).order_by("-number")
    return list(
        found.select_related("version__dataset", "learn_job", "score_job", "model", "deployment", "source", "base_model")[:SHOWN]
    )


def trainable_models(project: LabelProject) -> list[Model]:
    found = Model.objects.filter(workspace=project.workspace_id, kind__in=TRAINABLE, state=ModelState.READY)
    return list(found.order_by("-pk")[:100])

"""Moving rounds on, step by step. A duty of every worker: the row says what comes next, each step may be repeated, so that a
round goes on after a crash at any moment. A claim keeps two workers from doing the same step at once.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from webapp.accounts.models import User
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.jobs.models import Job, State
from webapp.jobs.services import submit_job
from webapp.labeling.exports import create_labelled_version
from webapp.labeling.learning.quick import discard_former
from webapp.labeling.learning.rounds import conclude, key_of, let_go, start_round, tell, ways_of
from webapp.labeling.models import LIVE_ROUNDS, LearningPlan, LearningRound, Prediction, PredictionSource, RoundState
from webapp.labeling.outcomes import is_held_out, task_outcomes
from webapp.labeling.prelabeling import HELD_OUT_PERCENT, start_prelabel
from webapp.registry.models import Model
from webapp.registry.registering import free_name
from webapp.registry.training.services import start_training
from webapp.serving.models import Health
from webapp.serving.services import create_deployment, stop_deployment
from workers.prelabel.comparing import same
from workers.spec.prelabel import AssistSpec
from workers.spec.serve import ServeSpec

logger = logging.getLogger(__name__)
CLAIM = timedelta(seconds=60)
MOST_KNOWN = 500


def advance_rounds() -> None:
    """A duty: move every live round on as far as it goes now, and start those that a plan asks for."""
    for made in _live():
        advance(made)
    _start_planned()


def _live() -> list[LearningRound]:
    found = LearningRound.objects.filter(state__in=LIVE_ROUNDS).order_by("pk")
    return list(found.select_related("project__workspace", "version", "learn_job", "score_job", "deployment", "created_by"))


def advance(made: LearningRound) -> None:
    """One step after the other until something has to be waited for."""
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    if not LearningRound.objects.filter(free, pk=made.pk, state__in=LIVE_ROUNDS).update(claimed_until=now + CLAIM):
        return
    try:
        while made.is_live and STEPS[made.state](made):
            made.refresh_from_db()
    except UserError as error:
        conclude(made, RoundState.FAILED, error=error.payload())
    finally:
        LearningRound.objects.filter(pk=made.pk).update(claimed_until=None)
    made.refresh_from_db()
    if not made.is_live and made.state != RoundState.DONE and made.created_by is not None:
        let_go(made, made.created_by)  # somebody cancelled while a step was being taken


def _move(made: LearningRound, state: str, **changes: object) -> bool:
    """To the next state, unless somebody cancelled meanwhile."""
    moved = LearningRound.objects.filter(pk=made.pk, state=made.state).update(state=state, **changes)
    if moved:
        made.refresh_from_db()
        tell(made)
    return bool(moved)


def _person(made: LearningRound) -> User:
    if made.created_by is None:
        raise UserError("learning.nobody", "The person who started this round is gone; start a new one.")
    return made.created_by


def _freeze(made: LearningRound) -> bool:
    """What was labelled becomes an immutable version; a version that was made before a crash is found by its note."""
    user = _person(made)
    if made.version is None:
        frozen = DatasetVersion.objects.filter(
            dataset__workspace=made.project.workspace_id, recipe__learning_round=made.pk
        ).first()
        frozen = frozen or create_labelled_version(
            user=user,
            project_id=made.project_id,
            held_out=0 if made.is_quick else HELD_OUT_PERCENT,
            note={"learning_round": made.pk},
        )
        LearningRound.objects.filter(pk=made.pk).update(version=frozen)
        made.version = frozen
    if made.version.state == VersionState.FAILED:
        raise UserError("learning.not_frozen", "The labels could not be frozen into a dataset version; see its job.")
    if made.version.state != VersionState.READY:
        return False
    job = _assist(made, user) if made.is_quick else _train(made, user)
    return _move(made, RoundState.LEARNING, learn_job=job, learnt=made.version.count)


def source_name(made: LearningRound) -> str:
    """What the proposals of a round are tagged with."""
    who = "assistant" if made.is_quick else str(made.model)
    return f"{who[:90]} · round {made.number}"


def _assist(made: LearningRound, user: User) -> Job:
    project = made.project
    spec = AssistSpec(project=project.pk, version=source_name(made), fields=ways_of(project).quick, limit=made.limit)
    name = f"{project.name} · {made.number}"
    return submit_job(
        user=user, workspace=project.workspace, kind="assist", spec=spec, name=name, idempotency_key=key_of(made, "learn")
    )


def _train(made: LearningRound, user: User) -> Job:
    project, key = made.project, key_of(made, "learn")
    known = Job.objects.filter(workspace=project.workspace_id, idempotency_key=key).first()
    if known is not None:
        return known
    if made.base_model_id is None:
        raise UserError("learning.model_gone", "The model that should learn has been deleted; start a new round with another.")
    name = free_name(project.workspace, f"{project.name[:80]} {made.number}")
    values = {"name": name, "base_model": made.base_model_id, "datasets": [made.version_id]}
    return start_training(user=user, slug=project.workspace.slug, kind="sft", values=values, idempotency_key=key)


def _is_done(job: Job | None) -> bool:
    """False while there is something to wait for (a paused job, too); a job that did not end well ends the round."""
    if job is None:
        raise UserError("learning.job_gone", "The job of this step has been deleted; start a new round.")
    if job.state == State.FAILED:
        raise UserError(job.error_code or "job.crashed", job.error_template or "The job failed.", **job.error_params)
    if job.state == State.CANCELLED:
        raise UserError("learning.job_cancelled", "The job of this step was cancelled; start a new round.")
    return bool(job.state == State.DONE)


def _learn(made: LearningRound) -> bool:
    if not _is_done(made.learn_job) or made.learn_job is None:
        return False
    if made.is_quick:
        result = made.learn_job.result or {}
        source = PredictionSource.objects.filter(project=made.project_id, name=source_name(made)).first()
        figures = {name: int(result.get(name) or 0) for name in ("right", "held_out")}
        scored, learnt = int(result.get("answered") or 0), int(result.get("labels") or made.learnt)
        return not conclude(made, RoundState.DONE, source=source, scored=scored, learnt=learnt, **figures)
    model = Model.objects.filter(job=made.learn_job).order_by("-pk").first()
    if model is None:
        raise UserError("learning.model_gone", "The model that should learn has been deleted; start a new round with another.")
    user, name = _person(made), f"learning-{made.pk}"
    found = model.deployments.filter(workspace=made.project.workspace_id, name=name).first()
    spec = ServeSpec(model=model.pk)
    deployment = found or create_deployment(user=user, workspace=made.project.workspace.slug, spec=spec, name=name)
    return _move(made, RoundState.STARTING, model=model, deployment=deployment)


def _start(made: LearningRound) -> bool:
    deployment = made.deployment
    if deployment is None:
        raise UserError("prelabel.deployment_gone", "The deployment that this job needs has been deleted.")
    if deployment.health == Health.FAILED:
        error = deployment.error or {}
        template = error.get("template") or "The engine of “{name}” does not start; see its page."
        raise UserError(
            error.get("code") or "learning.not_started", template, **{"name": deployment.name, **error.get("params", {})}
        )
    if deployment.health != Health.READY:
        return False
    job = start_prelabel(
        user=_person(made),
        project_id=made.project_id,
        deployment_id=deployment.pk,
        limit=made.limit,
        version=source_name(made),
        wording="learnt",
        known=MOST_KNOWN,
        fields=ways_of(made.project).model,
        idempotency_key=key_of(made, "score"),
    )
    return _move(made, RoundState.SCORING, score_job=job)


def _score(made: LearningRound) -> bool:
    if not _is_done(made.score_job):
        return False
    name = source_name(made)
    source = PredictionSource.objects.filter(project=made.project_id, name=name).first()
    right, held_out = _compared(made, source) if source is not None else (0, 0)
    discard_former(made.project, name)
    if made.deployment_id is not None:
        stop_deployment(user=_person(made), deployment_id=made.deployment_id)
    scored = source.made if source is not None else 0
    return not conclude(made, RoundState.DONE, source=source, scored=scored, right=right, held_out=held_out)


def _compared(made: LearningRound, source: PredictionSource) -> tuple[int, int]:
    """(right, asked) over the labelled records that the model did not learn."""
    fields = ways_of(made.project).model
    said = {task.pk: answers for task, answers in task_outcomes(made.project) if answers and is_held_out(task, HELD_OUT_PERCENT)}
    right = asked = 0
    for task, value in Prediction.objects.filter(source=source, task__in=list(said)[:MOST_KNOWN]).values_list("task_id", "value"):
        proposed = {answer["q"]: answer["value"] for answer in value}
        known = [field for field in fields if field["name"] in said[task]]
        asked += 1
        right += all(same(field, proposed.get(field["name"]), said[task][field["name"]]) for field in known)
    return right, asked


Step = Callable[[LearningRound], bool]
STEPS: dict[str, Step] = {
    RoundState.FREEZING: _freeze,
    RoundState.LEARNING: _learn,
    RoundState.STARTING: _start,
    RoundState.SCORING: _score,
}
"""Each returns True when the next step can be taken at once."""


def _start_planned() -> None:
    plans = LearningPlan.objects.filter(every__gt=0, project__is_open=True, project__annotation_count__gte=F("every"))
    for plan in plans.select_related("project", "created_by").order_by("pk"):
        last = LearningRound.objects.filter(project=plan.project_id).order_by("-number").first()
        new = plan.project.annotation_count - (last.labels if last else 0)
        if new < plan.every or (last is not None and last.is_live) or plan.created_by is None:
            continue
        try:
            start_round(user=plan.created_by, project_id=plan.project_id, base_model=plan.base_model_id, is_automatic=True)
        except UserError as error:
            logger.info("no round of learning could start in label project %s: %s", plan.project_id, error)

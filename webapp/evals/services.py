"""What people do with suites and evaluations: make, rename, run, delete."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import UserError
from webapp.evals.access import access_evaluation, access_suite
from webapp.evals.guessing import guess_config
from webapp.evals.models import Evaluation, EvaluationState, Suite
from webapp.jobs.services import submit_job
from webapp.registry.access import access_ready_model
from webapp.registry.services import ANSWERING
from webapp.registry.training.services import usable_version
from workers.spec.evaluate import EvalSpec, SuiteConfig

NAME_LENGTH = 120
MODELS_AT_ONCE = 50


def checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise UserError("suite.no_name", "The suite has no name; give it one.", status=422)
    if len(name) > NAME_LENGTH:
        raise UserError(
            "suite.long_name", "The name is longer than {limit} characters; shorten it.", status=422, limit=NAME_LENGTH
        )
    return name


def name_taken(name: str) -> UserError:
    return UserError("suite.name_taken", "There is already a suite “{name}” here; choose another name.", status=409, name=name)


def create_suite(
    *,
    user: User,
    slug: str,
    version_id: int,
    name: str = "",
    description: str = "",
    config: Mapping[str, Any] | None = None,
) -> Suite:
    """A suite from a dataset version. Without `config` the method is guessed from the records; with it, only what is left out."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    version = usable_version(user, workspace, version_id)
    guessed = guess_config(version)
    given = {key: value for key, value in (config or {}).items() if value is not None}
    chosen = SuiteConfig.model_validate({**(guessed.model_dump() if "method" not in given else {}), **given})
    name = checked_name(name or str(version))
    try:
        with transaction.atomic():
            suite = Suite.objects.create(
                workspace=workspace,
                name=name,
                description=description.strip(),
                version=version,
                config=chosen.model_dump(mode="json"),
                created_by=user,
            )
    except IntegrityError as error:
        raise name_taken(name) from error
    record_audit(actor=user, workspace=workspace, action="suite.create", subject=name)
    return suite


def update_suite(*, user: User, suite_id: int, name: str | None = None, description: str | None = None) -> Suite:
    """Change how a suite is called. How it asks never changes: scores would no longer compare."""
    suite = access_suite(user, suite_id, role=Role.MANAGER)
    suite.name = checked_name(name) if name is not None else suite.name
    suite.description = description.strip() if description is not None else suite.description
    try:
        with transaction.atomic():
            suite.save(update_fields=["name", "description"])
    except IntegrityError as error:
        raise name_taken(suite.name) from error
    record_audit(actor=user, workspace=suite.workspace, action="suite.update", subject=suite.name)
    return suite


def delete_suite(*, user: User, suite_id: int) -> None:
    """Delete a suite with its evaluations; not while one of them runs."""
    suite = access_suite(user, suite_id, role=Role.MANAGER)
    running = suite.evaluations.filter(state=EvaluationState.RUNNING).count()
    if running:
        raise UserError(
            "suite.running",
            "{count} evaluations of “{name}” are under way; cancel their jobs first.",
            status=409,
            count=running,
            name=suite.name,
        )
    record_audit(actor=user, workspace=suite.workspace, action="suite.delete", subject=suite.name)
    suite.delete()


def run_evaluations(
    *,
    user: User,
    suite_id: int,
    model_ids: Iterable[int],
    limit: int | None = None,
    seed: int = 0,
    idempotency_key: str | None = None,
) -> list[Evaluation]:
    """Start one job per model. With an idempotency key, sending the same again gives the evaluations made first."""
    suite = access_suite(user, suite_id, role=Role.MANAGER)
    wanted = list(dict.fromkeys(model_ids))
    if not wanted:
        raise UserError("evaluation.no_models", "No model is chosen; choose at least one.", status=422)
    if len(wanted) > MODELS_AT_ONCE:
        raise UserError(
            "evaluation.too_many_models", "At most {limit} models can be started at once.", status=422, limit=MODELS_AT_ONCE
        )
    models = [access_ready_model(user, suite.workspace, model_id, kinds=ANSWERING) for model_id in wanted]
    config = SuiteConfig.model_validate({**suite.config, **({"limit": limit} if limit else {})})
    started = []
    for model in models:
        key = f"{idempotency_key[:60]}:{model.pk}" if idempotency_key else None
        if key and (made := Evaluation.objects.filter(workspace=suite.workspace, job__idempotency_key=key).first()):
            started.append(made)
            continue
        with transaction.atomic():
            row = Evaluation.objects.create(workspace=suite.workspace, suite=suite, model=model, created_by=user)
            facts = {"suite": suite.pk, "evaluation": row.pk, "model": model.pk, "dataset": suite.version_id, "seed": seed}
            spec = EvalSpec.model_validate({**facts, "config": config})
            row.job = submit_job(
                user=user,
                workspace=suite.workspace,
                kind="evaluate",
                spec=spec,
                name=f"{model.name} · {suite.name}",
                idempotency_key=key,
            )
            row.save(update_fields=["job"])
        started.append(row)
    return started


def delete_evaluation(*, user: User, evaluation_id: int) -> None:
    evaluation = access_evaluation(user, evaluation_id, role=Role.MANAGER)
    if evaluation.state == EvaluationState.RUNNING:
        raise UserError("evaluation.running", "The evaluation is under way; cancel its job first.", status=409)
    record_audit(actor=user, workspace=evaluation.workspace, action="evaluation.delete", subject=str(evaluation))
    evaluation.delete()

"""After a run was out of memory: what it wanted, and the next recipe down with one click."""

from typing import Any

from django.utils.translation import gettext

from webapp.accounts.models import Role, User
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.access import access_job
from webapp.jobs.models import Job, State
from webapp.registry.models import Model
from webapp.registry.registering import free_name
from webapp.registry.training import planned_form, planning
from webapp.registry.training.checks import what_is_needed
from webapp.registry.training.planner_forms import STEPS
from webapp.registry.training.services import start_training
from webapp.registry.training.spec_fields import flattened
from workers.planner.memory import predict_memory
from workers.planner.plan import TrainingPlan
from workers.planner.recipes import Recipe, next_down
from workers.planner.shape import ModelShape

OUT_OF_MEMORY = {"job.out_of_memory", "job.killed"}
WORDS = ("out of memory", "outofmemory", "allocate memory", "not enough memory")


def ran_out(job: Job) -> bool:
    """Whether a job failed for want of memory, by its error code or by what the crash said."""
    if job.state != State.FAILED:
        return False
    said = " ".join(str(value) for value in job.error_params.values()).lower()
    return job.error_code in OUT_OF_MEMORY or (job.error_code == "job.crashed" and any(word in said for word in WORDS))


def plan_of_spec(job: Job) -> tuple[ModelShape, TrainingPlan] | None:
    """What the job was asked to do, as the planner sees it."""
    roles = [job.spec[role] for role in ("base_model", "tokenizer") if job.spec.get(role)]
    model = Model.objects.select_related("base").filter(workspace=job.workspace_id, pk__in=roles).first()
    version = DatasetVersion.objects.filter(pk__in=job.spec.get("datasets", []), dataset__workspace=job.workspace_id).first()
    if model is None or version is None or job.kind == "tokenizer":
        return None
    values = {name: "" if value is None else str(value) for name, value in flattened(job.spec).items()}
    try:
        shape = planned_form.shape_for(model, job.kind, values)
        lengths = planned_form.lengths_of(version, model, what_is_needed(job.kind, values.get("loss", "")))
    except UserError:
        return None
    plan, left_open, _ = planned_form.planned(job.kind, values, shape, lengths)
    device = planning.own_device("cuda" if job.resource == "gpu" else "cpu")
    return shape, planning.on_device(plan, device, shape, values.get("optimisation.precision") or "auto", left_open)


def next_recipe(job: Job) -> tuple[TrainingPlan, Recipe] | None:
    """(what was tried, the nearest recipe that takes a quarter less); None when there is none."""
    found = plan_of_spec(job)
    if found is None:
        return None
    shape, plan = found
    recipe = next_down(shape, plan, planning.allowed_steps(job.kind))
    return None if recipe is None else (plan, recipe)


def advice(job: Job) -> dict[str, Any] | None:
    """For the run's page: why it ran out and what to try."""
    if not ran_out(job):
        return None
    found = plan_of_spec(job)
    following = next_recipe(job)
    return {
        "wanted": predict_memory(*found).total if found else None,
        "steps": [gettext(STEPS[name]) for name in following[1].steps] if following else [],
        "total": following[1].memory.total if following else None,
    }


def start_lighter(*, user: User, job_id: int) -> Job:
    """Start the run again by the next recipe down, as a new job under a name of its own."""
    job = access_job(user, job_id, role=Role.MANAGER)
    following = next_recipe(job) if ran_out(job) else None
    if following is None:
        raise UserError(
            "run.nothing_lighter",
            "There is no lighter recipe for “{name}”; choose a smaller model or shorter examples.",
            status=409,
            name=job.name,
        )
    plan, recipe = following
    values = {**job.spec, "name": free_name(job.workspace, str(job.spec["name"]))}
    for path, value in planned_form.settings_for(plan, recipe.plan, job.kind).items():
        if path.partition(".")[0] in values:
            _set(values, path, value)
    return start_training(
        user=user, slug=job.workspace.slug, kind=job.kind, values=values, idempotency_key=f"lighter-{job.pk}-{job.attempt}"
    )


def _set(values: dict[str, Any], path: str, value: str) -> None:
    first, _, rest = path.partition(".")
    values[first] = {**(values[first] or {}), rest: value} if rest else value

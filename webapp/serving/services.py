"""What people ask of deployments: create, start, stop, restart, delete. The watcher makes the engine follow."""

import re
import shutil

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from webapp.accounts.access import access_owned, access_workspace
from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.registry.models import Model
from webapp.serving import engines
from webapp.serving.access import access_deployment
from webapp.serving.models import Deployment, Health, Wanted
from workers.spec.serve import ServeSpec

NAME = re.compile(r"[\w.][\w.:@+-]{0,79}")


def create_deployment(*, user: User, workspace: str, spec: ServeSpec, name: str = "") -> Deployment:
    """Serve a model. Without a name the model's own is taken, and a deployment that serves just this already is started again."""
    place = access_workspace(user, workspace, role=Role.MANAGER)
    model = access_owned(user, Model, spec.model)
    if model.workspace_id != place.pk:
        access_owned(user, Model, spec.model, role=Role.MANAGER)
    engines.require_servable(model)
    if not name.strip():
        same = Deployment.objects.filter(workspace=place, model=model, spec=spec.model_dump(mode="json")).order_by("-id").first()
        if same is not None:
            return start_deployment(user=user, deployment_id=same.pk)
    chosen = _checked_name(name.strip()) if name.strip() else _free_name(place.pk, model.name)
    try:
        with transaction.atomic():
            deployment = Deployment.objects.create(
                workspace=place,
                name=chosen,
                model=model,
                spec=spec.model_dump(mode="json"),
                token=engines.new_token(),
                created_by=user,
            )
            _follow_if_remote(deployment)
            record_audit(actor=user, workspace=place, action="deployment.create", subject=chosen, model=model.name)
            transaction.on_commit(lambda: publish_state(deployment))
    except IntegrityError as error:
        raise UserError(
            "deployment.name_taken", "A deployment named “{name}” exists; choose another name.", status=409, name=chosen
        ) from error
    return deployment


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(
            "deployment.bad_name",
            "“{name}” cannot be a model name for API clients; use letters, digits and . _ - : @ + without spaces, at most 80.",
            name=name[:100],
        )
    return name


def _free_name(workspace_id: int, wanted: str) -> str:
    base = re.sub(r"[^\w.:@+-]+", "-", wanted).strip("-")[:70] or "model"
    taken = set(Deployment.objects.filter(workspace_id=workspace_id, name__startswith=base).values_list("name", flat=True))
    return next(name for name in (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))) if name not in taken)


def start_deployment(*, user: User, deployment_id: int) -> Deployment:
    """Want it running; one that was given up gets fresh tries."""
    deployment = access_deployment(user, deployment_id, role=Role.MANAGER)
    Deployment.objects.filter(pk=deployment.pk, health=Health.FAILED).update(health=Health.STOPPED)
    Deployment.objects.filter(pk=deployment.pk).update(wanted=Wanted.RUNNING, failures=0, next_start_at=None, error={})
    return _told(deployment, user, "deployment.start")


def stop_deployment(*, user: User, deployment_id: int) -> Deployment:
    deployment = access_deployment(user, deployment_id, role=Role.MANAGER)
    Deployment.objects.filter(pk=deployment.pk).update(wanted=Wanted.STOPPED)
    return _told(deployment, user, "deployment.stop")


def restart_deployment(*, user: User, deployment_id: int) -> Deployment:
    """End the engine, if there is one, and start a fresh one."""
    deployment = access_deployment(user, deployment_id, role=Role.MANAGER)
    Deployment.objects.filter(pk=deployment.pk, health=Health.FAILED).update(health=Health.STOPPED)
    Deployment.objects.filter(pk=deployment.pk).update(
        wanted=Wanted.RUNNING, generation=F("generation") + 1, failures=0, next_start_at=None, error={}
    )
    return _told(deployment, user, "deployment.restart")


def delete_deployment(*, user: User, deployment_id: int) -> None:
    """Forget it with its log and usage; the watcher ends an engine whose row is gone."""
    deployment = access_deployment(user, deployment_id, role=Role.MANAGER)
    record_audit(actor=user, workspace=deployment.workspace, action="deployment.delete", subject=deployment.name)
    number, workspace = deployment.pk, deployment.workspace_id
    deployment.delete()
    shutil.rmtree(engines.directory(number), ignore_errors=True)
    publish(f"workspace.{workspace}", deployment=number, state="deleted")


def _follow_if_remote(deployment: Deployment) -> None:
    """Nothing has to start where somebody else's endpoint answers: what is wanted, is."""
    if deployment.is_remote:
        is_wanted = deployment.wanted == Wanted.RUNNING
        deployment.health = Health.READY if is_wanted else Health.STOPPED
        deployment.ready_at = timezone.now() if is_wanted else None
        deployment.save(update_fields=["health", "ready_at"])


def _told(deployment: Deployment, user: User, action: str) -> Deployment:
    deployment.refresh_from_db()
    _follow_if_remote(deployment)
    record_audit(actor=user, workspace=deployment.workspace, action=action, subject=deployment.name)
    publish_state(deployment)
    return deployment


def publish_state(deployment: Deployment) -> None:
    publish(f"deployment.{deployment.pk}", state=deployment.state)
    publish(f"workspace.{deployment.workspace_id}", deployment=deployment.pk, state=deployment.state)

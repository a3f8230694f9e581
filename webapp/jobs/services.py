"""What people do with jobs: submit, cancel, pause, resume, retry, clone, delete. Each changes state by compare-and-set."""

import logging
import shutil

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.celery import app
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.jobs import paths
from webapp.jobs.access import access_job
from webapp.jobs.kinds import get_kind
from webapp.jobs.models import ENDED, DeviceSlot, Job, State, Wish
from workers.spec.base import Spec

logger = logging.getLogger(__name__)


def submit_job(
    *,
    user: User | None,
    workspace: Workspace,
    kind: str,
    spec: Spec,
    name: str,
    priority: int = 0,
    idempotency_key: str | None = None,
    cloned_from: Job | None = None,
) -> Job:
    """Queue a job. The caller has checked the user's role and every object that the spec names.

    The same idempotency key in a workspace gives the job made first, so a form sent twice starts one job.
    """
    storage.require_space()
    values = {
        "kind": kind,
        "name": name[:160],
        "spec": spec.model_dump(mode="json"),
        "spec_hash": spec.digest(),
        "resource": resource_of(kind),
        "priority": priority,
        "created_by": user,
        "cloned_from": cloned_from,
    }
    with transaction.atomic():
        if idempotency_key:
            job, created = Job.objects.get_or_create(workspace=workspace, idempotency_key=idempotency_key[:80], defaults=values)
        else:
            job, created = Job.objects.create(workspace=workspace, **values), True
        if created:
            record_audit(actor=user, workspace=workspace, action="job.submit", subject=str(job))
            transaction.on_commit(lambda: announce(job))
    return job


def resource_of(kind: str) -> str:
    """The class of slots that a kind waits for: computing goes to the GPUs as soon as any host has one."""
    wanted = get_kind(kind).resource
    if wanted == "compute":
        return "gpu" if DeviceSlot.objects.filter(resource="gpu").exists() else "cpu"
    return wanted


def announce(job: Job) -> None:
    """Say that there may be work, and that the queue changed. A broker that is away loses nothing: the keeper asks again."""
    wake_workers(job.resource)
    publish_state(job)


def wake_workers(resource: str) -> None:
    try:
        app.send_task("jobs.run", args=[resource], queue=f"jobs.{resource}", ignore_result=True, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("no worker could be told of new work: %s", error)


def publish_state(job: Job) -> None:
    publish(f"job.{job.pk}", state=job.state, seq=job.event_seq)
    publish(f"workspace.{job.workspace_id}", job=job.pk, kind=job.kind, state=job.state)


def cancel_job(*, user: User, job_id: int) -> Job:
    """Stop for good. A queued job ends at once; a running one gets its signal within a second."""
    return _stop(access_job(user, job_id, role=Role.ANNOTATOR), user, Wish.CANCEL, State.CANCELLED)


def pause_job(*, user: User, job_id: int) -> Job:
    """Stop so that Resume goes on from the last checkpoint."""
    return _stop(access_job(user, job_id, role=Role.ANNOTATOR), user, Wish.PAUSE, State.PAUSED)


def _stop(job: Job, user: User, wish: str, end: str) -> Job:
    finished_at = timezone.now() if end in ENDED else None
    waiting = [State.QUEUED, State.PAUSED] if wish == Wish.CANCEL else [State.QUEUED]
    ended = Job.objects.filter(pk=job.pk, state__in=waiting).update(state=end, wish=Wish.NONE, finished_at=finished_at)
    if not ended:
        Job.objects.filter(pk=job.pk, state__in=[State.RUNNING, State.STOPPING]).update(state=State.STOPPING, wish=wish)
    job.refresh_from_db()
    record_audit(actor=user, workspace=job.workspace, action=f"job.{wish}", subject=str(job))
    if ended and end in ENDED:
        get_kind(job.kind).ended(job)
    publish_state(job)
    return job


def resume_job(*, user: User, job_id: int) -> Job:
    """Go on: a paused job, or a failed or cancelled one (Retry), from its last checkpoint."""
    job = access_job(user, job_id, role=Role.ANNOTATOR)
    storage.require_space()
    changed = Job.objects.filter(pk=job.pk, state__in=[State.PAUSED, State.FAILED, State.CANCELLED]).update(
        state=State.QUEUED,
        wish=Wish.NONE,
        losses=0,
        queued_at=timezone.now(),
        finished_at=None,
        error_code="",
        error_template="",
        error_params={},
    )
    job.refresh_from_db()
    if not changed:
        raise UserError(
            "job.not_resumable",
            "“{name}” is {state}; only a paused, failed or cancelled job can go on.",
            status=409,
            name=job.name,
            state=job.get_state_display(),
        )
    record_audit(actor=user, workspace=job.workspace, action="job.resume", subject=str(job))
    announce(job)
    return job


def clone_job(*, user: User, job_id: int) -> Job:
    """The same specification again, as a new job that starts from the beginning."""
    job = access_job(user, job_id, role=Role.ANNOTATOR)
    spec = get_kind(job.kind).spec.model_validate(job.spec)
    return submit_job(user=user, workspace=job.workspace, kind=job.kind, spec=spec, name=job.name, cloned_from=job)


def move_job(*, user: User, job_id: int, priority: int) -> Job:
    """Change the place in the queue; higher goes first."""
    job = access_job(user, job_id, role=Role.MANAGER)
    Job.objects.filter(pk=job.pk, state=State.QUEUED).update(priority=max(-100, min(100, priority)))
    job.refresh_from_db()
    record_audit(actor=user, workspace=job.workspace, action="job.priority", subject=str(job), priority=job.priority)
    publish_state(job)
    return job


def delete_job(*, user: User, job_id: int) -> None:
    """Forget a job that ended, with its files. What it made and registered elsewhere stays."""
    job = access_job(user, job_id, role=Role.MANAGER)
    if job.state not in ENDED:
        raise UserError("job.still_alive", "“{name}” has not ended; cancel it first.", status=409, name=job.name)
    record_audit(actor=user, workspace=job.workspace, action="job.delete", subject=str(job))
    directory = paths.run_dir(job.pk)
    job.delete()
    shutil.rmtree(directory, ignore_errors=True)

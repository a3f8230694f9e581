"""Who runs a job: slots, the fair queue, claiming by compare-and-set, heartbeats, and the return of lost leases."""

import logging
import os
import shutil
import signal
import subprocess
from collections import Counter
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from webapp.core import processes
from webapp.jobs.models import DeviceSlot, Job, State, Wish
from webapp.jobs.services import publish_state, wake_workers

logger = logging.getLogger(__name__)
MAXIMUM_LOSSES = 8
"""A program that dies so often without getting further is given up: it would die for ever."""
MAXIMUM_STARVED = 2
"""The same where the kernel says that it killed for want of memory."""
QUEUE_WINDOW = 500


@cache
def gpu_count() -> int:
    """GPUs that the driver shows, or what SHUYUAN_GPU_SLOTS says."""
    if settings.GPU_SLOTS >= 0:
        return int(settings.GPU_SLOTS)
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def threads_per_job() -> int:
    """Compute threads of a CPU job: all cores but one, shared among the slots."""
    return max(1, ((os.cpu_count() or 2) - 1) // max(1, settings.CPU_SLOTS))


def ensure_slots() -> None:
    """One row per device of this host."""
    now = timezone.now()
    for resource, count in (("cpu", settings.CPU_SLOTS), ("gpu", gpu_count()), ("light", settings.LIGHT_SLOTS)):
        for index in range(count):
            DeviceSlot.objects.update_or_create(host=processes.host(), resource=resource, index=index, defaults={"seen_at": now})
        DeviceSlot.objects.filter(host=processes.host(), resource=resource, index__gte=count, job=None).delete()


def queue_order(resource: str | None = None) -> list[Job]:
    """Queued jobs in the order in which they will be taken.

    Priority first; among equals, people take turns: the n-th job of somebody who already has k running counts as (n + k)-th.
    """
    queued = Job.objects.filter(state=State.QUEUED)
    running = Job.objects.filter(state__in=[State.RUNNING, State.STOPPING])
    if resource:
        queued, running = queued.filter(resource=resource), running.filter(resource=resource)
    turns: Counter[int | None] = Counter(running.values_list("created_by_id", flat=True))
    ordered: list[tuple[int, int, datetime, int, Job]] = []
    for job in queued.order_by("-priority", "queued_at", "id")[:QUEUE_WINDOW]:
        ordered.append((-job.priority, turns[job.created_by_id], job.queued_at, job.pk, job))
        turns[job.created_by_id] += 1
    return [entry[-1] for entry in sorted(ordered, key=lambda entry: entry[:-1])]


def claim(resource: str) -> Job | None:
    """Take the next job and a free slot of this host, or nothing. Two workers never get the same job or slot."""
    with transaction.atomic():
        slots = DeviceSlot.objects.filter(host=processes.host(), resource=resource, job=None).order_by("index")
        slot = slots.select_for_update(skip_locked=True).first() if _locks_rows() else slots.first()
        if slot is None:
            return None
        for job in queue_order(resource):
            if _take(job):
                DeviceSlot.objects.filter(pk=slot.pk).update(job=job)
                job.refresh_from_db()
                return job
    return None


def _locks_rows() -> bool:
    from django.db import connection

    return connection.features.has_select_for_update_skip_locked


def _take(job: Job) -> bool:
    now = timezone.now()
    taken = Job.objects.filter(pk=job.pk, state=State.QUEUED).update(
        state=State.RUNNING,
        attempt=F("attempt") + 1,
        started_at=now,
        phase="starting",
        host=processes.host(),
        lease_owner=processes.identity(),
        lease_expires_at=now + timedelta(seconds=settings.LEASE_SECONDS),
        pid=None,
        pid_started=None,
    )
    return bool(taken)


def renew(job: Job) -> bool:
    """Heartbeat; False when the lease is no longer ours and the program must be ended."""
    return bool(
        Job.objects.filter(pk=job.pk, lease_owner=processes.identity(), attempt=job.attempt).update(
            lease_expires_at=timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
        )
    )


def release(job: Job, state: str, **changes: object) -> bool:
    """Give the job up in a new state, and its slot; only its owner can."""
    with transaction.atomic():
        mine = Job.objects.filter(pk=job.pk, lease_owner=processes.identity(), attempt=job.attempt)
        done = mine.update(
            state=state, wish=Wish.NONE, lease_owner="", lease_expires_at=None, pid=None, pid_started=None, **changes
        )
        if done:
            DeviceSlot.objects.filter(job_id=job.pk).update(job=None)
    if done:
        job.refresh_from_db()
        publish_state(job)
        wake_workers(job.resource)
    return bool(done)


def return_lost_leases() -> None:
    """Queue again what a dead worker held. A lease is lost when it expired, or at once when its owner on this host is gone."""
    held = Job.objects.filter(state__in=[State.RUNNING, State.STOPPING])
    now = timezone.now()
    for job in held:
        expired = job.lease_expires_at is None or job.lease_expires_at < now
        if expired or processes.owner_is_gone(job.lease_owner):
            _return(job)
    for resource in Job.objects.filter(state=State.QUEUED).values_list("resource", flat=True).distinct():
        if DeviceSlot.objects.filter(resource=resource, job=None).exists():
            wake_workers(resource)


def _return(job: Job) -> None:
    if job.host == processes.host():
        processes.kill_group(job.pid, job.pid_started, signal.SIGKILL)
    state = {Wish.CANCEL: State.CANCELLED, Wish.PAUSE: State.PAUSED}.get(Wish(job.wish), State.QUEUED)
    with transaction.atomic():
        changes = {"state": state, "wish": Wish.NONE, "lease_owner": "", "lease_expires_at": None, "pid": None, "phase": ""}
        same = Job.objects.filter(pk=job.pk, attempt=job.attempt, lease_owner=job.lease_owner)
        if not same.filter(Q(state=State.RUNNING) | Q(state=State.STOPPING)).update(**changes):
            return
        DeviceSlot.objects.filter(job_id=job.pk).update(job=None)
    logger.info("job %s returned to the queue: its worker is gone", job.pk)
    job.refresh_from_db()
    publish_state(job)

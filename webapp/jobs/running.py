"""What a worker does with a claimed job: write the run file, start the program, pump its events, obey wishes, conclude."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from webapp.core import processes
from webapp.core.errors import UserError
from webapp.jobs import leases, paths
from webapp.jobs.kinds import JobKind, get_kind
from webapp.jobs.models import DeviceSlot, Job, State, Wish
from webapp.jobs.pump import pump
from webapp.jobs.services import publish_state
from workers.program import EXIT_BAD_INPUT, EXIT_DISK_FULL, EXIT_DONE, EXIT_STOPPED, out_of_memory
from workers.spec.run import RunFile
from workers.supervise import Child

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.04
WISH_SECONDS = 0.25

CANCEL_SECONDS = 3.0
"""Most grace of a cancelled program: with it the whole group is gone within five seconds."""
shutting_down = threading.Event()
"""Set when this worker is told to end: programs save their state and their jobs go back to the queue."""


def run_next(resource: str) -> bool:
    """Claim and run one job; False when there is none or no free slot."""
    job = leases.claim(resource)
    if job is None:
        return False
    publish_state(job)
    with Heartbeat(job) as heartbeat:
        try:
            run(job, lost=heartbeat.lost)
        except UserError as error:
            fail(job, error)
        except Exception as error:
            logger.exception("job %s failed outside its program", job.pk)
            fail(
                job,
                UserError(
                    "job.crashed",
                    "The program stopped with {kind} ({detail}); its log says where. Press Retry to run it again.",
                    kind=type(error).__name__,
                    detail=str(error)[:300],
                ),
            )
    return True


class Heartbeat:
    """Renews the lease in a thread while the job runs and while its results are registered."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lost = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"heartbeat-{job.pk}")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(settings.HEARTBEAT_SECONDS):
            try:
                if not leases.renew(self.job):
                    self.lost.set()
            except DatabaseError:
                logger.exception("no heartbeat for job %s", self.job.pk)
        close_old_connections()


def run(job: Job, *, lost: threading.Event) -> None:
    kind = get_kind(job.kind)
    run_file = write_run_file(job, kind)
    child = Child.start(
        [sys.executable, "-m", kind.program, str(run_file)],
        log=paths.log_file(job.pk),
        directory=settings.BASE_DIR,
        threads=leases.threads_per_job(),
        extra={**device_environment(job), **kind.environment(job)},
    )
    Job.objects.filter(pk=job.pk).update(
        pid=child.pid, pid_started=processes.start_time(child.pid), child_started_at=timezone.now()
    )
    kills = processes.kills_for_memory()
    try:
        code = watch(job, child, lost=lost)
    finally:
        child.kill()
    while pump(job):
        pass
    if not lost.is_set():
        conclude(job, kind, code, starved=processes.kills_for_memory() > kills)


def device_environment(job: Job) -> dict[str, str]:
    """A job sees the GPU of its slot and no other."""
    slot = DeviceSlot.objects.filter(job=job).first()
    if slot is None or slot.resource != "gpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    return {"CUDA_VISIBLE_DEVICES": str(slot.index)}


def write_run_file(job: Job, kind: JobKind) -> Path:
    from workers.program import write_json

    run = RunFile(
        job=job.pk,
        attempt=job.attempt,
        kind=job.kind,
        spec=job.spec,
        inputs=dict(kind.inputs(job)),
        run_dir=paths.run_dir(job.pk),
        output_dir=paths.output_dir(job.pk),
        threads=leases.threads_per_job(),
        device="cuda" if job.resource == "gpu" else "cpu",
    )
    path = paths.run_dir(job.pk) / "run.json"
    write_json(path, run.model_dump(mode="json"))
    return path


def watch(job: Job, child: Child, *, lost: threading.Event) -> int:
    """Pump until the program ends; pass on cancel and pause: TERM at once, KILL after the grace period.

    What is cancelled saves nothing that somebody waits for, so its grace is short.
    """
    asked_at: float | None = None
    grace: float = settings.CANCEL_GRACE_SECONDS
    next_look = 0.0
    while (code := child.poll()) is None:
        pump(job)
        now = time.monotonic()
        if lost.is_set():
            child.kill()
        if now >= next_look:
            next_look = now + WISH_SECONDS
            if asked_at is None and (shutting_down.is_set() or read_wish(job)):
                child.signal(signal.SIGTERM)
                asked_at = now
                if job.wish == Wish.CANCEL:
                    grace = min(grace, CANCEL_SECONDS)
        if asked_at is not None and now - asked_at > grace:
            child.kill()
        time.sleep(POLL_SECONDS)
    return code


def read_wish(job: Job) -> str:
    job.wish = Job.objects.filter(pk=job.pk).values_list("wish", flat=True).first() or Wish.NONE
    return str(job.wish)


def conclude(job: Job, kind: JobKind, code: int, *, starved: bool = False) -> None:
    """Turn the exit code and the wish into the next state. `starved`: the system killed for want of memory meanwhile."""
    wish = read_wish(job)
    endings: dict[str, Callable[[], None]] = {
        Wish.CANCEL: lambda: _end(job, kind, State.CANCELLED),
        Wish.PAUSE: lambda: _end(job, kind, State.PAUSED),
    }
    if code == EXIT_DONE:
        kind.finished(job)
        leases.release(job, State.DONE, finished_at=timezone.now(), phase="", eta_seconds=None)
    elif wish in endings:
        endings[wish]()
    elif code == EXIT_STOPPED or shutting_down.is_set():
        leases.release(job, State.QUEUED, queued_at=timezone.now(), phase="")
    elif code < 0:
        _lost(job, kind, -code, starved=starved and -code == signal.SIGKILL)
    else:
        _failed(job, kind, code)


def _end(job: Job, kind: JobKind, state: str) -> None:
    finished_at = timezone.now() if state == State.CANCELLED else None
    if leases.release(job, state, finished_at=finished_at, phase="", eta_seconds=None) and state == State.CANCELLED:
        kind.ended(job)


def _lost(job: Job, kind: JobKind, number: int, *, starved: bool) -> None:
    """Killed by the system or by hand: try again from the last checkpoint, but not for ever.

    Who was killed for want of memory gets one more try, because another program may have taken it.
    """
    job.losses += 1
    if job.losses < (leases.MAXIMUM_STARVED if starved else leases.MAXIMUM_LOSSES):
        leases.release(job, State.QUEUED, losses=job.losses, queued_at=timezone.now(), phase="")
        return
    if starved:
        fail(job, out_of_memory())
        return
    error = UserError(
        "job.killed",
        "The system ended the program {times} times (signal {signal}), most often for want of memory; "
        "choose a smaller model or shorter texts, then press Retry.",
        times=job.losses,
        signal=signal.Signals(number).name if number in set(signal.Signals) else number,
    )
    fail(job, error)


def _failed(job: Job, kind: JobKind, code: int) -> None:
    if job.error_code and code in {EXIT_BAD_INPUT, 1}:
        error = UserError(job.error_code, job.error_template, **job.error_params)
    elif code == EXIT_DISK_FULL:
        error = UserError("job.disk_full", "The disk is full; free some space and press Retry: the job goes on where it stopped.")
    else:
        error = UserError("job.exit_code", "The program ended with code {number}; its log says more.", number=code)
    fail(job, error)


def fail(job: Job, error: UserError) -> None:
    ended = leases.release(
        job,
        State.FAILED,
        finished_at=timezone.now(),
        phase="",
        eta_seconds=None,
        error_code=error.code,
        error_template=error.template,
        error_params=error.params,
    )
    if ended:
        get_kind(job.kind).ended(job)

"""The watcher: makes every deployment's health follow what is wanted.

It runs as a duty in each worker. A row belongs to the process named in `watcher` while its lease lives; only that process
changes health, pid and port, always by compare-and-set on `watcher`. Engines are children of the duty's thread, which lives
as long as the worker, and die with it (PR_SET_PDEATHSIG); whoever finds the row orphaned then starts the engine again.
"""

import logging
import shutil
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from webapp.core import processes
from webapp.core.errors import UserError
from webapp.registry.models import ModelKind
from webapp.serving import engines
from webapp.serving.models import Deployment, Health, Wanted
from webapp.serving.services import publish_state
from workers.program import EXIT_BAD_INPUT
from workers.spec.serve import ServeSpec
from workers.supervise import Child

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=15)
RENEW_SECONDS = 4.0
HEALTH_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""An engine that answers no health question for so long is ended and started again."""
START_SECONDS = 900.0
STOP_GRACE_SECONDS = 8.0
MAXIMUM_FAILED_STARTS = 5
CRASH_WINDOW_SECONDS = 300.0
MAXIMUM_DELAY_SECONDS = 30.0
NO_ENGINE_NEEDED = Q(model__kind=ModelKind.ENDPOINT)
NO_ENGINE: dict[str, Any] = {"pid": None, "pid_started": None, "port": None, "watcher": "", "lease_expires_at": None}


@dataclass
class Running:
    """An engine that this process started; times are of the monotonic clock."""

    deployment: int
    generation: int
    child: Child
    started_at: float
    renewed_at: float
    heard_at: float
    asked_at: float
    ready: bool = False
    told_to_end_at: float | None = None


@dataclass
class Watcher:
    command: tuple[str, ...] = (sys.executable, "-m", "workers.engine")
    running: dict[int, Running] = field(default_factory=dict)
    crashes: dict[int, deque[float]] = field(default_factory=dict)

    def look(self) -> None:
        """One round over all deployments."""
        wanted = Q(wanted=Wanted.RUNNING) | ~Q(health__in=[Health.STOPPED, Health.FAILED]) | Q(pk__in=list(self.running))
        rows = {row.pk: row for row in Deployment.objects.filter(wanted).exclude(NO_ENGINE_NEEDED).select_related("model__base")}
        for number, engine in list(self.running.items()):
            row = rows.get(number)
            if row is None or row.watcher != processes.identity():
                self._drop(engine, gone=row is None)
            else:
                self._follow(row, engine)
        for row in rows.values():
            if row.pk not in self.running:
                self._consider(row)

    def close(self) -> None:
        """End all engines; their rows are taken up by whoever looks next."""
        for engine in list(self.running.values()):
            self._drop(engine, gone=False)

    def _drop(self, engine: Running, *, gone: bool) -> None:
        """End an engine that is no longer ours: its row was deleted, or another process holds the lease."""
        engine.child.kill()
        del self.running[engine.deployment]
        if gone:
            shutil.rmtree(engines.directory(engine.deployment), ignore_errors=True)

    def _consider(self, row: Deployment) -> None:
        """Take up a row that nobody watches."""
        now = timezone.now()
        if row.watcher and not _orphaned(row):
            return
        if row.wanted == Wanted.RUNNING and (row.health == Health.FAILED or (row.next_start_at and row.next_start_at > now)):
            return
        same = Deployment.objects.filter(pk=row.pk, watcher=row.watcher, lease_expires_at=row.lease_expires_at)
        lost = F("restarts") + (1 if row.health == Health.READY else 0)
        if not same.update(watcher=processes.identity(), lease_expires_at=now + LEASE, restarts=lost):
            return
        if row.host == processes.host():
            processes.kill_group(row.pid, row.pid_started)
        row.watcher = processes.identity()
        if row.wanted == Wanted.STOPPED:
            self._change(row, health=Health.STOPPED, watcher="", pid=None, port=None, next_start_at=None)
        else:
            self._start(row)

    def _start(self, row: Deployment) -> None:
        try:
            run = engines.engine_run(row)
            path = engines.prepare(run)
        except UserError as error:
            self._give_up(row, error)
            return
        spec = ServeSpec.model_validate(row.spec)
        child = Child.start(
            [*self.command, str(path)],
            log=engines.log_file(row.pk),
            directory=settings.BASE_DIR,
            threads=engines.threads(spec),
            extra={engines.TOKEN_VARIABLE: row.token, "SHUYUAN_NICE": "0"},
        )
        now = time.monotonic()
        self.running[row.pk] = Running(row.pk, row.generation, child, now, now, now, now)
        self._change(
            row,
            health=Health.STARTING,
            host=processes.host(),
            address=settings.ENGINE_ADDRESS,
            pid=child.pid,
            pid_started=processes.start_time(child.pid),
            port=None,
            next_start_at=None,
        )

    def _follow(self, row: Deployment, engine: Running) -> None:
        now = time.monotonic()
        if now - engine.renewed_at > RENEW_SECONDS:
            engine.renewed_at = now
            mine = Deployment.objects.filter(pk=row.pk, watcher=processes.identity())
            mine.update(lease_expires_at=timezone.now() + LEASE)
        code = engine.child.poll()
        if code is not None:
            self._ended(row, engine, code)
        elif row.wanted == Wanted.STOPPED or row.generation != engine.generation:
            self._end(engine, now)
        elif not engine.ready:
            self._await_ready(row, engine, now)
        elif now - engine.asked_at > HEALTH_SECONDS:
            self._ask_health(row, engine, now)

    def _end(self, engine: Running, now: float) -> None:
        if engine.told_to_end_at is None:
            engine.told_to_end_at = now
            engine.child.signal(signal.SIGTERM)
        elif now - engine.told_to_end_at > STOP_GRACE_SECONDS:
            engine.child.kill()

    def _await_ready(self, row: Deployment, engine: Running, now: float) -> None:
        told = engines.read_told(engines.ready_file(row.pk))
        if told is not None and isinstance(told.get("port"), int) and _answers(row, told["port"]):
            engine.ready, engine.heard_at, engine.asked_at = True, now, now
            told["seconds_to_ready"] = round(now - engine.started_at, 2)
            self._change(row, health=Health.READY, port=told["port"], engine=told, ready_at=timezone.now(), failures=0, error={})
        elif now - engine.started_at > START_SECONDS:
            engine.child.kill()

    def _ask_health(self, row: Deployment, engine: Running, now: float) -> None:
        engine.asked_at = now
        if row.port and _answers(row, row.port):
            engine.heard_at = now
        elif now - engine.heard_at > SILENT_SECONDS:
            logger.warning("the engine of deployment %s is silent; it is started again", row.pk)
            engine.child.kill()

    def _ended(self, row: Deployment, engine: Running, code: int) -> None:
        engine.child.kill()  # what it started itself
        del self.running[row.pk]
        if row.wanted == Wanted.STOPPED:
            self._change(row, health=Health.STOPPED, **NO_ENGINE)
        elif row.generation != engine.generation:
            self._change(row, health=Health.STARTING, **NO_ENGINE)
        elif engine.ready:
            logger.warning("the engine of deployment %s ended with code %s", row.pk, code)
            delay = self._delay_after_crash(row.pk)
            self._change(row, health=Health.STARTING, restarts=row.restarts + 1, next_start_at=delay, **NO_ENGINE)
        else:
            self._start_failed(row, code)

    def _delay_after_crash(self, number: int) -> Any:
        """The first crashes are mended at once; an engine that crashes again and again is given more and more time."""
        now = time.monotonic()
        crashes = self.crashes.setdefault(number, deque(maxlen=16))
        while crashes and now - crashes[0] > CRASH_WINDOW_SECONDS:
            crashes.popleft()
        crashes.append(now)
        seconds = 0.0 if len(crashes) <= 3 else min(MAXIMUM_DELAY_SECONDS, 2.0 ** (len(crashes) - 4))
        return timezone.now() + timedelta(seconds=seconds)

    def _start_failed(self, row: Deployment, code: int) -> None:
        error = _told_error(row, code)
        failures = row.failures + 1
        if code == EXIT_BAD_INPUT or failures >= MAXIMUM_FAILED_STARTS:
            self._give_up(row, error, failures=failures)
            return
        delay = timedelta(seconds=min(MAXIMUM_DELAY_SECONDS, 2.0 ** (failures - 1)))
        changes = {**NO_ENGINE, "failures": failures, "next_start_at": timezone.now() + delay, "error": error.payload()}
        self._change(row, health=Health.STARTING, **changes)

    def _give_up(self, row: Deployment, error: UserError, **changes: Any) -> None:
        self._change(row, health=Health.FAILED, error=error.payload(), **NO_ENGINE, **changes)

    def _change(self, row: Deployment, **changes: Any) -> bool:
        """Change the row if it is still what we think it is, and tell the pages."""
        if not Deployment.objects.filter(pk=row.pk, watcher=row.watcher).update(**changes):
            return False
        for name, value in changes.items():
            setattr(row, name, value)
        row.refresh_from_db(fields=["wanted", "health"])
        publish_state(row)
        return True


def _orphaned(row: Deployment) -> bool:
    """Nobody holds it: the lease ran out, its holder on this host is dead, or it is ours and we know no such engine."""
    expired = row.lease_expires_at is None or row.lease_expires_at < timezone.now()
    return expired or row.watcher == processes.identity() or processes.owner_is_gone(row.watcher)


def _answers(row: Deployment, port: int) -> bool:
    headers = {"Authorization": f"Bearer {row.token}"}
    address = row.address or settings.ENGINE_ADDRESS
    try:
        return httpx.get(f"http://{address}:{port}/health", headers=headers, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _told_error(row: Deployment, code: int) -> UserError:
    """Why an engine ended before it was ready: what it wrote, else what its exit code says."""
    told = engines.read_told(engines.error_file(row.pk))
    if told and told.get("code") and told.get("template"):
        return UserError(told["code"], told["template"], **told.get("params", {}))
    if code == -signal.SIGKILL:
        return UserError(
            "engine.killed",
            "The system ended the engine of “{name}” while it loaded, most often for want of memory; "
            "stop another deployment or choose smaller weights, then press Start.",
            name=row.name,
        )
    return UserError(
        "engine.did_not_start",
        "The engine of “{name}” ended with code {exit_code} before it was ready; read its log, then press Start.",
        name=row.name,
        exit_code=code,
    )


watcher = Watcher()


def watch_engines() -> None:
    """The duty of every worker."""
    watcher.look()

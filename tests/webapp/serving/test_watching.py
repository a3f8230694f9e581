"""The watcher with real processes: start, crash, stop, failure told in one sentence, orphans taken up (S8.1)."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from tests.webapp.serving.conftest import Deploy
from webapp.accounts.models import User
from webapp.core import processes
from webapp.serving import engines, services, watching
from webapp.serving.models import Deployment, Health
from webapp.serving.queries import engine_metrics, error_sentence

PATIENCE = 20.0
COMMAND = (sys.executable, "-m", "tests.webapp.serving.double")


@pytest.fixture
def watcher() -> Iterator[watching.Watcher]:
    made = watching.Watcher(command=COMMAND)
    yield made
    made.close()


def until(
    watcher: watching.Watcher, row: Deployment, condition: Callable[[Deployment], object], seconds: float = 60
) -> Deployment:
    """Let the watcher look until the condition holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watcher.look()
        row.refresh_from_db()
        if condition(row):
            return row
        time.sleep(0.05)
    raise AssertionError(f"deployment is {row.state} after {PATIENCE} s: {row.error} {engines.read_log(row.pk)}")


def is_ready(row: Deployment) -> bool:
    return row.health == Health.READY


def test_engine_starts_and_answers_then_stops(deploy: Deploy, alice: User, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy(), is_ready)
    assert row.engine["engine"] == "double"
    assert httpx.get(f"{row.url}/health", trust_env=False).is_success
    metrics = engine_metrics(row)
    assert metrics is not None
    assert metrics["kv_cache_usage"] == 0.5
    assert "starts" in engines.read_log(row.pk)
    pid = row.pid
    services.stop_deployment(user=alice, deployment_id=row.pk)
    row = until(watcher, row, lambda row: row.health == Health.STOPPED)
    assert not processes.is_alive(pid, None)
    assert (row.state, row.pid, row.port) == ("stopped", None, None)


def test_killed_engine_is_started_again(deploy: Deploy, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy(), is_ready)
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)
    before = row.pid
    row = until(watcher, row, lambda row: is_ready(row) and row.pid != before)
    assert row.restarts == 1


def test_restart_brings_a_fresh_engine(deploy: Deploy, alice: User, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy(), is_ready)
    before = row.pid
    services.restart_deployment(user=alice, deployment_id=row.pk)
    row = until(watcher, row, lambda row: is_ready(row) and row.pid != before)
    assert not processes.is_alive(before, None)
    assert row.restarts == 0


def test_bad_model_fails_at_once_with_its_sentence(deploy: Deploy, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy("bad-input"), lambda row: row.health == Health.FAILED)
    assert error_sentence(row) == "The model “x” is broken."


def test_engine_that_never_starts_is_given_up(deploy: Deploy, watcher: watching.Watcher) -> None:
    """Five failed starts, each told; then no more until somebody presses Start."""
    row = deploy("dies")
    for _ in range(watching.MAXIMUM_FAILED_STARTS):
        Deployment.objects.filter(pk=row.pk).update(next_start_at=None)
        failures = row.failures
        row = until(watcher, row, lambda row, seen=failures: row.failures > seen)  # type: ignore[misc]
    assert row.state == "failed"
    assert "ended with code 3 before it was ready" in error_sentence(row)
    watcher.look()
    assert not watcher.running


def test_deleted_deployment_takes_its_engine_and_files_along(deploy: Deploy, alice: User, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy(), is_ready)
    pid, number = row.pid, row.pk
    services.delete_deployment(user=alice, deployment_id=number)
    watcher.look()
    assert not processes.is_alive(pid, None)
    assert not watcher.running


def test_orphan_of_a_dead_worker_is_killed_and_replaced(deploy: Deploy, watcher: watching.Watcher) -> None:
    """After kill -9 of the worker another one takes the row up, and no second engine of it goes on."""
    row = until(watcher, deploy(), is_ready)
    orphan = watcher.running.pop(row.pk).child
    Deployment.objects.filter(pk=row.pk).update(watcher=f"{processes.host()}:999999:1.0")
    row = until(watcher, row, lambda row: is_ready(row) and row.pid != orphan.pid)
    assert orphan.process.wait(60) == -signal.SIGKILL
    assert row.restarts == 1


def test_row_of_a_living_watcher_is_left_alone(deploy: Deploy, watcher: watching.Watcher) -> None:
    row = deploy()
    Deployment.objects.filter(pk=row.pk).update(
        watcher="elsewhere:1:1.0", lease_expires_at=timezone.now() + timedelta(seconds=30)
    )
    watcher.look()
    assert not watcher.running
    Deployment.objects.filter(pk=row.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    until(watcher, row, is_ready)


def test_engine_ends_when_another_watcher_took_the_row(deploy: Deploy, watcher: watching.Watcher) -> None:
    row = until(watcher, deploy(), is_ready)
    Deployment.objects.filter(pk=row.pk).update(
        watcher="elsewhere:1:1.0", lease_expires_at=timezone.now() + timedelta(seconds=30)
    )
    watcher.look()
    assert not watcher.running
    assert not processes.is_alive(row.pid, None)

"""A job runs in a child process: its events become rows, its ending a state (N4)."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from webapp.accounts.models import User
from webapp.core import processes
from webapp.jobs import leases, paths, running, services
from webapp.jobs.models import Artifact, DeviceSlot, Job, JobEvent, MetricPoint, State

pytestmark = pytest.mark.django_db(transaction=True)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def in_background() -> threading.Thread:
    def work() -> None:
        from django.db import connection

        running.run_next("cpu")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_job_done_keeps_metrics_artifacts_and_result(submit: Any, hooks: Any) -> None:
    job = submit(until=5)
    assert running.run_next("cpu")
    job.refresh_from_db()
    assert (job.state, job.result) == (State.DONE, {"total": 5, "started_at": 0})
    assert list(MetricPoint.objects.filter(job=job, name="loss").order_by("step").values_list("step", "value")) == [
        (step, pytest.approx(1 / (step + 1))) for step in range(5)
    ]
    assert Artifact.objects.get(job=job).path == "total.txt"
    assert "counted" in paths.log_file(job.pk).read_text()
    assert hooks.finished == [job.pk]
    assert DeviceSlot.objects.get(resource="cpu", index=0).job is None
    assert job.progress == 1.0


def test_bad_input_fails_with_its_sentence(submit: Any, hooks: Any) -> None:
    job = submit(until=5, fail_at=2)
    running.run_next("cpu")
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_params) == (State.FAILED, "count.unlucky", {"number": 2})
    assert hooks.ended == [job.pk]


def test_crash_fails_with_a_sentence_and_keeps_the_traceback_in_the_log(submit: Any) -> None:
    job = submit(until=5, crash_at=2)
    running.run_next("cpu")
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "job.crashed")
    assert "Traceback" in paths.log_file(job.pk).read_text()


def test_cancel_ends_the_running_program(submit: Any, hooks: Any, alice: User) -> None:
    job = submit(until=1000, pause=0.05)
    thread = in_background()
    wait_for(lambda: MetricPoint.objects.filter(job=job).count() >= 3)
    services.cancel_job(user=alice, job_id=job.pk)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert hooks.ended == [job.pk]


def test_cancel_kills_a_program_that_does_not_listen(submit: Any, alice: User, settings: Any) -> None:
    settings.CANCEL_GRACE_SECONDS = 1
    job = submit(until=1000, pause=0.05, ignore_stop=True)
    thread = in_background()
    pid = wait_for(lambda: Job.objects.get(pk=job.pk).pid)
    wait_for(lambda: MetricPoint.objects.filter(job=job).exists())
    services.cancel_job(user=alice, job_id=job.pk)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not processes.is_alive(pid, None)


def test_cancel_of_a_waiting_job_is_immediate(submit: Any, alice: User) -> None:
    job = submit()
    assert services.cancel_job(user=alice, job_id=job.pk).state == State.CANCELLED
    assert not running.run_next("cpu")


def test_pause_and_resume_go_on_where_it_stopped(submit: Any, alice: User) -> None:
    job = submit(until=60, pause=0.03)
    thread = in_background()
    wait_for(lambda: MetricPoint.objects.filter(job=job).count() >= 3)
    services.pause_job(user=alice, job_id=job.pk)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == State.PAUSED
    services.resume_job(user=alice, job_id=job.pk)
    running.run_next("cpu")
    job.refresh_from_db()
    assert job.state == State.DONE
    assert job.result["started_at"] >= 3
    assert MetricPoint.objects.filter(job=job).count() == 60


def test_killed_program_goes_on_from_its_checkpoint(submit: Any) -> None:
    job = submit(until=60, pause=0.03)
    thread = in_background()
    wait_for(lambda: MetricPoint.objects.filter(job=job).count() >= 3)
    os.kill(Job.objects.get(pk=job.pk).pid or 0, signal.SIGKILL)
    thread.join(60)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.QUEUED, 1)
    running.run_next("cpu")
    job.refresh_from_db()
    assert (job.state, job.attempt, job.result["started_at"] >= 3) == (State.DONE, 2, True)
    assert MetricPoint.objects.filter(job=job).count() == 60


def test_program_that_always_dies_is_given_up_with_a_sentence(submit: Any) -> None:
    job = submit()
    Job.objects.filter(pk=job.pk).update(losses=leases.MAXIMUM_LOSSES - 1)
    claimed = leases.claim("cpu")
    assert claimed
    running.conclude(claimed, running.get_kind("count"), -9)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "job.killed")


def test_program_killed_for_want_of_memory_says_so_after_one_more_try(
    submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8.7: the kernel counts what it kills when memory runs out; another program may have taken it the first time.

    An earlier attempt got further than these two, so that their steps are no progress.
    """
    count = tmp_path / "vmstat"
    monkeypatch.setattr(processes, "MEMORY_EVENTS", count)
    job = submit(until=1000, pause=0.03)
    MetricPoint.objects.create(job=job, name="loss", step=5000, value=1.0, at=timezone.now())
    for kills, expected in ((1, (State.QUEUED, "")), (2, (State.FAILED, "job.out_of_memory"))):
        count.write_text(f"pgfault 12\noom_kill {kills - 1}\n")
        seen = MetricPoint.objects.filter(job=job).count()
        thread = in_background()
        wait_for(lambda seen=seen: MetricPoint.objects.filter(job=job).count() > seen + 2)
        count.write_text(f"pgfault 12\noom_kill {kills}\n")
        os.kill(Job.objects.get(pk=job.pk).pid or 0, signal.SIGKILL)
        thread.join(60)
        job.refresh_from_db()
        assert (job.state, job.error_code) == expected


def test_kernel_that_tells_nothing_counts_no_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MEMORY_EVENTS", tmp_path / "none")
    assert processes.kills_for_memory() == 0


def test_worker_that_ends_hands_its_job_back(submit: Any) -> None:
    job = submit(until=1000, pause=0.03)
    thread = in_background()
    wait_for(lambda: MetricPoint.objects.filter(job=job).count() >= 3)
    running.shutting_down.set()
    thread.join(60)
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_lost_lease_returns_to_the_queue_at_once_when_its_worker_is_gone(submit: Any) -> None:
    job = submit()
    assert leases.claim("cpu")
    Job.objects.filter(pk=job.pk).update(lease_owner=f"{processes.host()}:999999:1.0")
    leases.return_lost_leases()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert leases.claim("cpu")


def test_living_lease_is_left_alone(submit: Any) -> None:
    job = submit()
    assert leases.claim("cpu")
    leases.return_lost_leases()
    job.refresh_from_db()
    assert job.state == State.RUNNING


def test_event_torn_by_a_crash_is_read_when_whole(submit: Any) -> None:
    job = submit()
    path = paths.events_file(job.pk)
    path.write_bytes(b'{"seq":1,"t":1,"type":"phase","name":"one"}\n{"seq":2,"t":1,"ty')
    assert running.pump(job) == 1
    with path.open("ab") as file:
        file.write(b'pe":"phase","name":"two"}\n')
    assert running.pump(job) == 1
    assert [event.data["name"] for event in JobEvent.objects.filter(job=job)] == ["one", "two"]


def test_program_knows_no_secret(submit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.supervise import environment

    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("SHUYUAN_SECRET_KEY", "secret")
    monkeypatch.setenv("REDIS_URL", "redis://secret")
    assert not [value for value in environment(1, {}).values() if "secret" in value]

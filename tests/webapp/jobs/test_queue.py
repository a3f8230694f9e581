"""The queue: fair shares, priorities, one job per device slot, and no job twice."""

import threading
from typing import Any

import pytest
from django.db import connection

from webapp.accounts.models import User
from webapp.jobs import leases, queries, services
from webapp.jobs.models import DeviceSlot, Job


def test_people_take_turns(submit: Any, alice: User, bob: User) -> None:
    first, second, third = submit(), submit(), submit()
    late = submit(user=bob)
    assert [job.pk for job in leases.queue_order()] == [first.pk, late.pk, second.pk, third.pk]


def test_priority_goes_first(submit: Any, alice: User) -> None:
    first, second = submit(), submit()
    services.move_job(user=alice, job_id=second.pk, priority=1)
    assert [job.pk for job in leases.queue_order()] == [second.pk, first.pk]


def test_slot_holds_one_job(submit: Any) -> None:
    submit()
    submit()
    assert leases.claim("cpu")
    assert leases.claim("cpu") is None


def test_waiting_jobs_know_their_place(submit: Any, workspace: Any) -> None:
    submit()
    second, third = submit(), submit()
    leases.claim("cpu")
    entries = queries.waiting_jobs(workspace)
    assert [(entry.job.pk, entry.position) for entry in entries] == [(second.pk, 1), (third.pk, 2)]
    assert entries[1].starts_in > entries[0].starts_in > 0


def test_same_idempotency_key_makes_one_job(workspace: Any, alice: User) -> None:
    from tests.programs.counting import CountSpec

    made = [
        services.submit_job(user=alice, workspace=workspace, kind="count", spec=CountSpec(), name="n", idempotency_key="once")
        for _ in range(2)
    ]
    assert made[0].pk == made[1].pk


@pytest.mark.django_db(transaction=True)
def test_no_job_is_claimed_twice_by_workers_at_once(submit: Any, settings: Any) -> None:
    settings.CPU_SLOTS = 8
    leases.ensure_slots()
    for _ in range(8):
        submit()
    claimed: list[int] = []

    def work() -> None:
        if job := leases.claim("cpu"):
            claimed.append(job.pk)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(Job.objects.values_list("pk", flat=True))
    assert DeviceSlot.objects.filter(job=None, resource="cpu").count() == 0


def test_computing_goes_to_a_gpu_where_there_is_one(submit: Any) -> None:
    assert submit().resource == "cpu"
    DeviceSlot.objects.create(host="another", resource="gpu", index=0)
    assert submit().resource == "gpu"


def test_files_do_not_wait_behind_computing(submit: Any, workspace: Any, alice: User) -> None:
    from webapp.jobs import kinds

    submit()
    leases.claim("cpu")
    waiting = submit()
    kinds.register(kinds.JobKind(name="count", label="", spec=kinds.get_kind("count").spec, program="x", resource="light"))
    file_job = submit()
    assert leases.claim("cpu") is None
    taken = leases.claim("light")
    assert taken is not None
    assert (taken.pk, waiting.state) == (file_job.pk, "queued")

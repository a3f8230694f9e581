"""A job kind whose program is real and quick."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.programs.counting import CountSpec
from webapp.accounts.models import User, Workspace
from webapp.jobs import kinds, leases, running
from webapp.jobs.models import Job
from webapp.jobs.services import submit_job


class Hooks:
    """Which jobs the kind's hooks were called for."""

    def __init__(self) -> None:
        self.finished: list[int] = []
        self.ended: list[int] = []


@pytest.fixture(autouse=True)
def hooks() -> Iterator[Hooks]:
    called = Hooks()
    kinds.register(
        kinds.JobKind(
            name="count",
            label="Counting",
            spec=CountSpec,
            program="tests.programs.counting",
            finished=lambda job: called.finished.append(job.pk),
            ended=lambda job: called.ended.append(job.pk),
        )
    )
    yield called
    kinds._kinds.pop("count")
    running.shutting_down.clear()


@pytest.fixture
def submit(alice: User, workspace: Workspace) -> Any:
    leases.ensure_slots()

    def make(*, user: User | None = None, priority: int = 0, **spec: Any) -> Job:
        return submit_job(
            user=user or alice, workspace=workspace, kind="count", spec=CountSpec(**spec), name="count", priority=priority
        )

    return make

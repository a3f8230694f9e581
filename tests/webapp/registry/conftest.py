"""Models and datasets of the test workspace, and a way to run its jobs with their real programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.models.tiny import write_model
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.datasets.services import create_dataset, create_version_from_records
from webapp.jobs import leases, running
from webapp.jobs.models import Job
from webapp.registry.models import Model, ModelKind
from webapp.registry.registering import register_model
from workers.spec.record import Message, Record

Run = Callable[[Job], Job]


@pytest.fixture
def tiny(alice: User, workspace: Workspace, tmp_path: Path) -> Model:
    """A little Llama with random weights, registered."""
    folder = write_model(tmp_path / "tiny")
    return register_model(workspace=workspace, name="Tiny", kind=ModelKind.BASE, folder=folder, created_by=alice)


def make_version(alice: User, workspace: Workspace, name: str, records: list[Record]) -> DatasetVersion:
    dataset = create_dataset(user=alice, slug=workspace.slug, name=name)
    return create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="test")


def dialogues(count: int = 24) -> list[Record]:
    return [
        Record(
            id=f"d{number}",
            messages=[
                Message(role="user", content=f"Is order {number} here?"),
                Message(role="assistant", content="Yes." if number % 2 else "No."),
            ],
        )
        for number in range(count)
    ]


def classified(count: int = 20) -> list[Record]:
    labels = ["refund", "delivery"]
    return [Record(id=f"c{number}", text=f"Where is parcel {number}?", label=labels[number % 2]) for number in range(count)]


@pytest.fixture
def conversations(alice: User, workspace: Workspace) -> DatasetVersion:
    return make_version(alice, workspace, "Conversations", dialogues())


@pytest.fixture
def intents(alice: User, workspace: Workspace) -> DatasetVersion:
    return make_version(alice, workspace, "Intents", classified())


@pytest.fixture
def unlabelled(alice: User, workspace: Workspace) -> DatasetVersion:
    return make_version(alice, workspace, "Unlabelled", [Record(id=f"u{n}", text=f"only text {n}") for n in range(4)])


@pytest.fixture
def run_job(settings: Any, transactional_db: None) -> Run:
    """Runs the next job as a worker does, program and all; fails with the job's own words when the job failed."""
    settings.MINIMUM_FREE_MB = 1

    def run(job: Job) -> Job:
        leases.ensure_slots()
        assert running.run_next("light") or running.run_next("cpu")
        job.refresh_from_db()
        return job

    return run

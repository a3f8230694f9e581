"""A disk that is full: refused before work begins, and one sentence when it fills in the middle; nothing half-written stays."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_job_failed, assert_refused, call, run_one
from tests.webapp.datasets.uploading import LABELLED, post, send
from tests.workers.models.tiny import write_model
from webapp.accounts.models import Workspace
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState
from webapp.jobs.models import Job
from webapp.jobs.services import resume_job
from webapp.registry.models import Model, ModelState

pytestmark = pytest.mark.django_db(transaction=True)
FULL = "The disk has {free} MB left and this needs {needed} MB; delete what you do not need or add space, then try again."


def test_work_is_refused_before_it_fills_the_disk(
    alice_client: Client, workspace: Workspace, data_folder: Path, settings: Any, tiny: Model, conversations: DatasetVersion
) -> None:
    upload = send(alice_client, "academy", "a.csv", LABELLED)
    write_model(data_folder / "imports" / "little")
    settings.MINIMUM_FREE_MB = 1 << 40
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/workspaces/academy/uploads", {"name": "b.csv", "size": 5}),
        ("POST", "/api/v1/workspaces/academy/datasets", {"upload": upload, "name": "A"}),
        ("POST", "/api/v1/workspaces/academy/models/import", {"folder": "little"}),
        (
            "POST",
            "/api/v1/workspaces/academy/training/sft",
            {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk]},
        ),
        ("POST", f"/api/v1/models/{tiny.pk}/export", {"format": "zip"}),
    ]
    for method, url, body in requests:
        assert_refused(alice_client, method, url, body, "storage.disk_full", status=507, template=FULL)
    page = alice_client.post("/w/academy/models/import/", {"folder": "little"}, headers={"accept": "text/html"})
    assert page.status_code < 500 or page.status_code == 507
    assert not Job.objects.exists()
    assert Dataset.objects.count() == 1, "only the one made before"
    assert Model.objects.count() == 1


@pytest.fixture
def small_disk(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A data folder on a disk of 9 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=9m", "none", str(place)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk that is really full needs root and tmpfs")
    settings.DATA_DIR = place
    settings.MINIMUM_FREE_MB = 0
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_disk_that_fills_during_an_import(
    alice: Any, alice_client: Client, workspace: Workspace, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program says it in one sentence, the version is failed; after room was made, Retry imports the whole file."""
    content = b"".join(b'{"text": "%06d %s"}\n' % (number, b"x" * 180) for number in range(10_000))
    upload = send(alice_client, "academy", "a.jsonl", content)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (6 << 20))
    from webapp.core import storage

    monkeypatch.setattr(storage, "require_space", lambda needed_bytes=0: None)  # the disk fills after it was asked
    made = post(alice_client, "/api/v1/workspaces/academy/datasets", {"upload": upload, "name": "A"})
    run_one()
    version = DatasetVersion.objects.get(pk=made["version"]["id"])
    assert version.job is not None
    assert_job_failed(alice_client, version.job, "job.disk_full")
    assert (version.state, version.path, RecordRow.objects.count()) == (VersionState.FAILED, "", 0)
    assert not list((small_disk / "datasets").rglob("*.jsonl")) if (small_disk / "datasets").exists() else True
    ballast.unlink()
    resume_job(user=alice, job_id=version.job.pk)
    run_one()
    version.refresh_from_db()
    assert (version.state, version.count) == (VersionState.READY, 10_000), version.error


def test_disk_that_fills_during_a_model_import(
    alice_client: Client, workspace: Workspace, small_disk: Path, tmp_path: Path, settings: Any
) -> None:
    """The worker asks for room before it copies."""
    settings.MODEL_FOLDERS = [str(tmp_path / "models")]
    write_model(tmp_path / "models" / "little")
    made = call(alice_client, "POST", "/api/v1/workspaces/academy/models/import", {"folder": "little"}).json()
    run_one()
    row = Model.objects.get(pk=made["id"])
    assert row.job is not None
    assert_job_failed(alice_client, row.job, "model.no_space")
    assert row.state == ModelState.FAILED
    assert not list(small_disk.rglob("*.safetensors"))

"""S8.6 in the browser: a dataset on a hub is fetched, looked at, and imported."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.workers.hub_double import REPOSITORY, hub_double
from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion, Upload, VersionState
from webapp.datasets.uploads import upload_path
from webapp.jobs import leases, running
from webapp.jobs.models import Job, State

HERE = "/w/academy/data"


@pytest.mark.django_db(transaction=True)
def test_a_dataset_is_fetched_previewed_and_imported(
    alice_client: Client, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.MINIMUM_FREE_MB = 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"instruction": "Say hi", "input": "", "output": "Hi"}\n' * 3)
    leases.ensure_slots()
    with hub_double(folder) as (address, _):
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", address)
        assert "ModelScope" in alice_client.get(f"{HERE}/new/").content.decode()
        answer = alice_client.post(f"{HERE}/fetch/", {"hub": "modelscope", "hub_id": REPOSITORY})
        job = Job.objects.get()
        assert answer["Location"] == f"/w/academy/jobs/{job.pk}/"
        assert running.run_next("light")
    job.refresh_from_db()
    assert job.state == State.DONE, (job.error_template, job.error_params)
    upload = Upload.objects.get()
    assert (upload.name, upload.is_complete) == ("train.jsonl", True)
    assert upload_path(upload).is_file()
    preview = f"{HERE}/import/?upload={upload.pk}"
    assert preview in alice_client.get(f"/w/academy/jobs/{job.pk}/").content.decode()
    assert "Say hi" in alice_client.get(preview).content.decode()
    alice_client.post(f"{HERE}/import/", {"upload": upload.pk, "name": "From afar", "format": "auto", "encoding": "auto"})
    assert running.run_next("light")
    version = DatasetVersion.objects.get()
    assert (version.state, version.count, version.recipe["format"]) == (VersionState.READY, 3, "alpaca")


@pytest.mark.django_db
def test_names_that_are_none_start_nothing(alice_client: Client, workspace: Workspace) -> None:
    answer = alice_client.post(f"{HERE}/fetch/", {"hub": "huggingface", "hub_id": "../../etc"})
    assert answer.status_code == 422
    assert "write it as owner/name" in answer.content.decode()
    assert alice_client.post(f"{HERE}/fetch/", {"hub": "ftp", "hub_id": REPOSITORY}).status_code == 422
    assert not Job.objects.exists()
    assert not Upload.objects.exists()


@pytest.mark.django_db
def test_the_api_fetches_for_managers_only(
    alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace
) -> None:
    url, body = "/api/v1/workspaces/academy/uploads/hub", {"hub": "modelscope", "hub_id": REPOSITORY, "file": "data"}
    assert charlie_client.post(url, body, content_type="application/json").status_code == 404
    assert bob_client.post(url, body, content_type="application/json").status_code == 403
    answer = alice_client.post(url, body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    job = Job.objects.get(pk=answer.json()["job"])
    assert (job.kind, job.spec["hub"], job.spec["file"]) == ("fetch_dataset", "modelscope", "data")
    assert answer.json()["upload"] == job.spec["upload"]

"""Import through the API and the real job: versions, hashes, reports of refused rows, and everything that can be wrong."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tests.webapp.datasets.uploading import LABELLED, import_file, post, send
from tests.workers.data.processing.test_documents import pdf
from webapp.accounts.models import User, Workspace
from webapp.datasets import building, files
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, Upload, VersionState
from webapp.jobs.leases import ensure_slots
from webapp.jobs.models import Job, State
from webapp.jobs.running import run_next
from webapp.jobs.services import resume_job

BANKING = Path(settings.BASE_DIR).parent / "shared" / "data" / "banking77" / "train.csv"


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def test_imported_file_becomes_an_immutable_version(alice_client: Client, workspace: Workspace) -> None:
    """S6.1, S6.5: canonical file named by its content, a row per record, statistics, lineage to the job."""
    version = import_file(alice_client, workspace.slug, "banking.csv", LABELLED, name="Banking", domain="finance")
    assert (version.state, version.count, version.refused) == (VersionState.READY, 30, 0)
    path = files.version_path(version)
    assert path.name == f"{version.sha256}.jsonl"
    stored = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert stored == list(version.records.order_by("position").values_list("key", flat=True))
    row = version.records.get(position=1)
    assert (row.label, row.text, row.language) == ("transfer", "What is the question 0 about transfer?", "en")
    assert row.data["facets"]["domain"] == "finance"
    assert version.stats["labels"] == {"card": 10, "transfer": 10, "cash": 10}
    assert version.stats["kinds"] == {"classification": 30}
    assert version.job is not None
    assert version.job.state == State.DONE
    assert not Upload.objects.exists(), "the uploaded file is forgotten once it is imported"


def test_same_content_has_the_same_hash(alice_client: Client, workspace: Workspace) -> None:
    first = import_file(alice_client, workspace.slug, "a.csv", LABELLED, name="One")
    second = import_file(alice_client, workspace.slug, "b.csv", LABELLED, name="Two")
    assert first.sha256 == second.sha256
    assert len(list(files.canonical_path(first.sha256).parent.glob("*.jsonl"))) == 1
    assert alice_client.delete(f"/api/v1/datasets/{first.dataset_id}").status_code == 204
    assert files.version_path(second).exists(), "a file that another version names stays"
    assert alice_client.delete(f"/api/v1/datasets/{second.dataset_id}").status_code == 204
    assert not files.canonical_path(first.sha256).exists()
    assert not RecordRow.objects.exists()


def test_next_upload_becomes_the_next_version(alice_client: Client, workspace: Workspace) -> None:
    first = import_file(alice_client, workspace.slug, "a.csv", LABELLED, name="Banking")
    upload = send(alice_client, workspace.slug, "more.jsonl", jsonl({"id": "x", "text": "一条新的问题", "label": "card"}))
    made = post(alice_client, f"/api/v1/datasets/{first.dataset_id}/versions", {"upload": upload})
    twice = post(alice_client, f"/api/v1/datasets/{first.dataset_id}/versions", {"upload": upload})
    assert (made["number"], made["state"], twice["id"]) == (2, "building", made["id"])
    assert run_next("light")
    listed = alice_client.get(f"/api/v1/datasets/{first.dataset_id}/versions").json()["items"]
    assert [(version["number"], version["state"], version["count"]) for version in listed] == [(2, "ready", 1), (1, "ready", 30)]
    first.refresh_from_db()
    assert first.count == 30


BROKEN = (
    b'{"id": "1", "text": "good"}\r\n{"id": "2", "text": \n{"id": "1", "text": "again"}\n'
    + b'{"id": "3", "text": "\xff\xfe"}\n{"id": "4", "text": "'
    + b"x" * (9 << 20)
    + b'"}\n{"id": "5", "text": "\\ud800"}\n{"id": "6", "text": NaN}\n[1]\n{"id": "7", "text": "also good"}'
)


def test_bad_rows_go_into_a_report_and_good_ones_in(alice_client: Client, workspace: Workspace) -> None:
    """Broken line, duplicate id, wrong encoding, huge line, lone surrogate, NaN, no object: each with its line and reason."""
    version = import_file(alice_client, workspace.slug, "broken.jsonl", BROKEN, name="Broken")
    assert (version.state, version.count) == (VersionState.READY, 2)
    assert list(version.records.order_by("position").values_list("text", flat=True)) == ["good", "also good"]
    answer = alice_client.get(f"/api/v1/versions/{version.pk}/errors")
    assert answer["Content-Disposition"] == 'attachment; filename="broken-v1-errors.jsonl"'
    rows = [json.loads(line) for line in b"".join(answer).splitlines()]
    assert [row["line"] for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    assert version.refused == 7
    assert rows[1]["code"] == "record.duplicate_id"
    table = b"".join(alice_client.get(f"/api/v1/versions/{version.pk}/errors?format=csv")).decode("utf-8-sig")
    assert [row["line"] for row in csv.DictReader(io.StringIO(table))] == ["2", "3", "4", "5", "6", "7", "8"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("blank.csv", b" \n\n ", "dataset.empty_file"),
        ("noise.jsonl", b"\x00\x01\x02\x03" * 50, ""),
        ("half.jsonl.gz", b"\x1f\x8b\x08\x00\x00", ""),
        ("empty-list.json", b"[]", "dataset.no_good_record"),
        ("picture.png", bytes(range(256)) * 8, ""),
    ],
)
def test_file_without_a_good_record_fails_with_one_sentence(
    alice_client: Client, workspace: Workspace, name: str, content: bytes, code: str
) -> None:
    version = import_file(alice_client, workspace.slug, name, content, name="Bad")
    assert (version.state, version.count, version.path) == (VersionState.FAILED, 0, "")
    assert version.job is not None
    assert version.job.error_code == code or (not code and version.job.error_code != "job.crashed")
    assert version.error.endswith((".", "…"))
    assert not RecordRow.objects.exists()
    shown = alice_client.get(f"/api/v1/versions/{version.pk}").json()
    assert (shown["state"], shown["error"]) == ("failed", version.error)
    assert alice_client.delete(f"/api/v1/versions/{version.pk}").status_code == 204


def test_preview_stores_nothing(alice_client: Client, workspace: Workspace) -> None:
    upload = send(alice_client, workspace.slug, "banking.csv", LABELLED)
    shown = alice_client.get(f"/api/v1/uploads/{upload}/preview?limit=3").json()
    assert (shown["format"], shown["mapping"]) == ("csv", {"text": "text", "label": "label"})
    assert [record["label"] for record in shown["records"]] == ["card", "transfer", "cash"]
    assert not Dataset.objects.exists()
    assert not DatasetVersion.objects.exists()


def test_document_alone_is_looked_at_and_imported(alice_client: Client, workspace: Workspace) -> None:
    """S6.1: a PDF needs no archive around it; its words are searched, its pages counted, its file kept."""
    upload = send(alice_client, workspace.slug, "bridge.pdf", pdf("The old bridge", "Page two"))
    shown = alice_client.get(f"/w/{workspace.slug}/data/import/?upload={upload}").content.decode()
    assert "The old bridge" in shown
    assert not DatasetVersion.objects.exists()
    version = import_file(alice_client, workspace.slug, "bridge.pdf", pdf("The old bridge", "Page two"))
    [found] = alice_client.get(f"/api/v1/versions/{version.pk}/records?q=bridge").json()["items"]
    assert found["data"]["extra"] == {"pages": 2, "paragraphs": 2}
    [file] = found["data"]["media"]
    assert alice_client.get(f"/w/{workspace.slug}/data/versions/{version.pk}/media/{file['sha256']}").status_code == 200


@pytest.mark.parametrize("content", [b" \n ", b"\x1f\x8b\x08broken", b'{"text": '])
def test_preview_of_a_bad_file_is_never_a_crash(alice_client: Client, workspace: Workspace, content: bytes) -> None:
    upload = send(alice_client, workspace.slug, "bad.jsonl", content)
    answer = alice_client.get(f"/api/v1/uploads/{upload}/preview")
    assert answer.status_code in {200, 400}
    assert answer.json().get("errors") or answer.json()["error"]["message"]


def test_unknown_column_is_named(alice_client: Client, workspace: Workspace) -> None:
    version = import_file(alice_client, workspace.slug, "a.csv", LABELLED, name="Bad", mapping={"text": "nowhere"})
    assert version.state == VersionState.FAILED
    assert "nowhere" in version.error


def test_name_that_is_taken_leaves_the_upload_alone(alice_client: Client, workspace: Workspace) -> None:
    import_file(alice_client, workspace.slug, "a.csv", LABELLED, name="Banking")
    upload = send(alice_client, workspace.slug, "a.csv", LABELLED)
    answer = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/datasets", {"upload": upload, "name": "Banking"}, 409)
    assert answer["error"]["code"] == "dataset.name_taken"
    assert Upload.objects.filter(pk=upload).exists()
    assert Job.objects.count() == 1


def test_import_killed_between_two_chunks_goes_on(
    alice: User, alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N4: the process that makes the rows dies; the next one finishes the same version."""
    monkeypatch.setattr(building, "CHUNK_ROWS", 7)
    real = building._row

    def dies(version: DatasetVersion, position: int, *rest: Any) -> tuple[Any, ...]:
        if position == 16:
            raise RuntimeError("killed")
        return real(version, position, *rest)

    monkeypatch.setattr(building, "_row", dies)
    version = import_file(alice_client, workspace.slug, "a.csv", LABELLED, name="Banking")
    assert (version.state, version.records.count()) == (VersionState.FAILED, 14)
    monkeypatch.setattr(building, "_row", real)
    assert version.job is not None
    resume_job(user=alice, job_id=version.job.pk)
    assert run_next("light")
    version.refresh_from_db()
    assert (version.state, version.count, version.records.count()) == (VersionState.READY, 30, 30)


def test_full_disk_fails_the_job_with_one_sentence(alice_client: Client, workspace: Workspace, settings: Any) -> None:
    upload = send(alice_client, workspace.slug, "a.csv", LABELLED)
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/datasets", {"upload": upload, "name": "Banking"})
    settings.MINIMUM_FREE_MB = 1 << 40
    ensure_slots()
    assert run_next("light")
    version = DatasetVersion.objects.get(pk=made["version"]["id"])
    assert version.state == VersionState.FAILED
    assert version.job is not None
    assert version.job.error_code == "storage.disk_full"
    assert Upload.objects.exists(), "the file is kept for the retry"


@pytest.mark.skipif(not BANKING.exists(), reason="banking77 is not beside the repository")
def test_banking77_imports_as_it_is(alice_client: Client, workspace: Workspace) -> None:
    """Issue 2, step 3: banking77's CSV as it is."""
    version = import_file(alice_client, workspace.slug, "train.csv", BANKING.read_bytes(), name="banking77")
    assert (version.state, version.count, version.refused) == (VersionState.READY, 10003, 0)
    assert len(version.stats["labels"]) == 77

"""Versions: made without a job, split, paged, filtered, downloaded in every format, protected, deleted."""

import base64
import csv
import errno
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.webapp.datasets.uploading import post
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.datasets import building, deriving, files, services
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState
from webapp.labeling.models import LabelProject
from workers.spec.record import Facets, Message, Record


def labelled(count: int, labels: tuple[str, ...] = ("card", "transfer", "cash")) -> list[Record]:
    return [
        Record(id=f"r{index}", text=f"text number {index}", label=labels[index % len(labels)], facets=Facets(language="en"))
        for index in range(count)
    ]


def conversation(id: str, question: str, answer: str) -> Record:
    return Record(id=id, messages=[Message(role="user", content=question), Message(role="assistant", content=answer)])


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Questions")
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=labelled(300), origin="a test")


def test_records_become_a_ready_version_without_a_job(version: DatasetVersion) -> None:
    assert (version.state, version.count, version.number) == (VersionState.READY, 300, 1)
    assert version.sha256 == hashlib.sha256(files.version_path(version).read_bytes()).hexdigest()
    assert version.records.count() == 300


def test_file_becomes_the_same_version_as_its_records(alice: User, version: DatasetVersion) -> None:
    again = services.create_version_from_file(
        user=alice, dataset_id=version.dataset_id, path=files.version_path(version), origin="copy"
    )
    assert (again.number, again.sha256, again.count) == (2, version.sha256, 300)


@pytest.mark.parametrize("records", [[], [*labelled(3), *labelled(1)]])
def test_wrong_records_leave_nothing_behind(alice: User, workspace: Workspace, records: list[Record], data_folder: Path) -> None:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Questions")
    with pytest.raises(UserError, match=r"no record|Two records"):
        services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    assert not DatasetVersion.objects.exists()
    assert list((data_folder / "datasets").iterdir()) == []


def test_abandoned_version_is_finished_by_the_duty(version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """N4: the web server was killed after the file was placed and a part of the rows was there."""
    RecordRow.objects.filter(version=version, position__gte=120).delete()
    DatasetVersion.objects.filter(pk=version.pk).update(state=VersionState.BUILDING, count=0, stats={})
    building.resume_abandoned()
    assert DatasetVersion.objects.get(pk=version.pk).state == VersionState.BUILDING, "it may still be at work"
    monkeypatch.setattr(building, "ABANDONED_AFTER", -building.ABANDONED_AFTER)
    building.resume_abandoned()
    version.refresh_from_db()
    assert (version.state, version.count, version.records.count()) == (VersionState.READY, 300, 300)


def test_split_is_stratified_seeded_and_complete(alice: User, version: DatasetVersion) -> None:
    train, held_out = deriving.split_version(user=alice, version_id=version.pk, fraction=0.2, seed=7)
    assert (train.count, held_out.count) == (240, 60)
    assert Counter(held_out.records.values_list("label", flat=True)) == {"card": 20, "transfer": 20, "cash": 20}
    keys = [set(part.records.values_list("key", flat=True)) for part in (train, held_out)]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == set(version.records.values_list("key", flat=True))
    assert (held_out.parent, held_out.recipe["split"], held_out.dataset.name) == (version, "held-out", "Questions · held-out")
    again = deriving.split_version(user=alice, version_id=version.pk, fraction=0.2, seed=7)[1]
    other = deriving.split_version(user=alice, version_id=version.pk, fraction=0.2, seed=8)[1]
    assert (again.sha256, again.number) == (held_out.sha256, 2)
    assert other.sha256 != held_out.sha256


def test_copies_of_a_record_stay_on_one_side(alice: User, workspace: Workspace) -> None:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Copies")
    records = [Record(id=str(index), text=f"text {index % 10}") for index in range(100)]
    version = services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    train, held_out = deriving.split_version(user=alice, version_id=version.pk, fraction=0.3)
    texts = [set(part.records.values_list("text", flat=True)) for part in (train, held_out)]
    assert (len(texts[0]), len(texts[1])) == (7, 3)
    assert not texts[0] & texts[1]


@pytest.mark.parametrize("fraction", [0, 1, 0.0001, -3])
def test_split_with_an_empty_side_is_refused(alice_client: Client, version: DatasetVersion, fraction: float) -> None:
    answer = post(alice_client, f"/api/v1/versions/{version.pk}/split", {"fraction": fraction}, status=422)
    assert answer["error"]["code"] in {"dataset.bad_fraction", "dataset.split_too_small"}
    assert Dataset.objects.count() == 1


def test_records_are_paged_and_filtered(alice_client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/records"
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        answer = alice_client.get(f"{url}?limit=120&cursor={cursor}").json()
        seen += [item["position"] for item in answer["items"]]
        cursor = answer["next_cursor"]
    assert seen == list(range(300))
    found = alice_client.get(f"{url}?label=cash&limit=500").json()["items"]
    assert len(found) == 100
    assert [item["data"]["id"] for item in alice_client.get(f"{url}?search=number 29&label=cash").json()["items"]] == [
        "r29", "r290", "r293", "r296", "r299",
    ]  # fmt: skip
    for cursor in ("nonsense", "ImFiYyI", "W10", "bnVsbA"):
        wrong = alice_client.get(f"{url}?cursor={cursor}")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "paging.bad_cursor"), cursor
    assert alice_client.get(f"/api/v1/versions/{1 << 70}/records").status_code == 404
    assert alice_client.get(f"{url}/7").json()["data"]["id"] == "r7"
    assert alice_client.get(f"{url}/300").status_code == 404


def test_search_finds_chinese(alice: User, alice_client: Client, workspace: Workspace) -> None:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="中文")
    records = [conversation("1", "书院小店几点开门？", "九点。"), conversation("2", "可以退货吗？", "可以。")]
    version = services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    found = alice_client.get(f"/api/v1/versions/{version.pk}/records?search=退货").json()["items"]
    assert [item["data"]["id"] for item in found] == ["2"]


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_download_is_the_canonical_file_with_its_digest(alice_client: Client, version: DatasetVersion) -> None:
    """S6.8: checksummed, resumable by Range."""
    url = f"/api/v1/versions/{version.pk}/download"
    answer = alice_client.get(url)
    content = body(answer)
    assert hashlib.sha256(content).hexdigest() == answer["X-Content-SHA256"] == version.sha256
    encoded = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert (answer["Repr-Digest"], answer["ETag"]) == (f"sha-256=:{encoded}:", f'"{version.sha256}"')
    assert answer["Content-Disposition"] == 'attachment; filename="questions-v1.jsonl"'
    rest = alice_client.get(url, headers={"range": "bytes=100-"})
    assert (rest.status_code, rest["Content-Range"]) == (206, f"bytes 100-{len(content) - 1}/{len(content)}")
    assert body(rest) == content[100:]
    assert body(alice_client.get(url, headers={"range": "bytes=-10"})) == content[-10:]
    assert body(alice_client.get(url, headers={"range": "bytes=0-9"})) == content[:10]
    assert alice_client.get(url, headers={"range": f"bytes={len(content)}-"}).status_code == 416
    changed = alice_client.get(url, headers={"range": "bytes=100-", "if-range": '"other"'})
    assert (changed.status_code, body(changed)) == (200, content)


def test_downloads_in_other_formats_stream(alice: User, alice_client: Client, workspace: Workspace) -> None:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Chat")
    records = [conversation("1", "=1+1", "two"), conversation("2", "可以退货吗？", "可以。")]
    version = services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    url = f"/api/v1/versions/{version.pk}/download?format="
    alpaca = json.loads(body(alice_client.get(url + "alpaca")))
    assert (alpaca[1]["instruction"], alpaca[1]["output"]) == ("可以退货吗？", "可以。")
    assert json.loads(body(alice_client.get(url + "sharegpt")))[0]["conversations"][0] == {"from": "human", "value": "=1+1"}
    openai = body(alice_client.get(url + "openai")).splitlines()
    assert json.loads(openai[1])["messages"][1]["content"] == "可以。"
    table = list(csv.DictReader(io.StringIO(body(alice_client.get(url + "csv")).decode())))
    assert [row["id"] for row in table] == ["1", "2"]
    assert alice_client.get(url + "csv")["X-Version-SHA256"] == version.sha256
    refused = alice_client.get(url + "docx")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "export.unknown_format")


def test_losses_are_told_before_an_export(alice_client: Client, version: DatasetVersion) -> None:
    formats = alice_client.get(f"/api/v1/versions/{version.pk}/losses").json()["formats"]
    assert formats["jsonl"] == []
    assert formats["alpaca"]


def test_version_in_use_is_protected(alice: User, alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    project = LabelProject.objects.create(workspace=workspace, version=version, name="Intents", schema={"fields": []})
    for url in (f"/api/v1/versions/{version.pk}", f"/api/v1/datasets/{version.dataset_id}"):
        answer = alice_client.delete(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "dataset.in_use")
        assert "“Intents”" in answer.json()["error"]["message"]
    lineage = alice_client.get(f"/api/v1/versions/{version.pk}/lineage").json()
    assert [(use["kind"], use["name"]) for use in lineage["uses"]] == [("label_projects", "Intents")]
    project.delete()
    assert alice_client.delete(f"/api/v1/datasets/{version.dataset_id}").status_code == 204
    assert not RecordRow.objects.exists()


def test_dataset_is_renamed_and_names_differ(
    alice: User, alice_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    services.create_dataset(user=alice, slug=workspace.slug, name="Other")
    url = f"/api/v1/datasets/{version.dataset_id}"

    def rename(name: str) -> Any:
        return alice_client.patch(url, json.dumps({"name": name}), "application/json")

    assert rename("Renamed").json()["name"] == "Renamed"
    assert rename("Other").status_code == 409
    assert rename("  ").status_code == 422
    assert rename("x" * 121).status_code == 422
    assert alice_client.get(url).json()["name"] == "Renamed"


def test_list_needs_few_queries(
    alice: User, alice_client: Client, workspace: Workspace, version: DatasetVersion, django_assert_max_num_queries: Any
) -> None:
    for index in range(12):
        dataset = services.create_dataset(user=alice, slug=workspace.slug, name=f"Set {index}")
        services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=labelled(3), origin="a test")
    with django_assert_max_num_queries(8):
        answer = alice_client.get(f"/api/v1/workspaces/{workspace.slug}/datasets?limit=10").json()
    assert [item["name"] for item in answer["items"][:2]] == ["Set 11", "Set 10"]
    assert answer["items"][0]["version"]["count"] == 3
    assert answer["next_cursor"]


def test_members_read_and_strangers_see_nothing(
    bob_client: Client, charlie_client: Client, client: Client, version: DatasetVersion
) -> None:
    reading = [
        f"/api/v1/versions/{version.pk}{part}" for part in ("", "/records", "/records/0", "/download", "/losses", "/lineage")
    ]
    reading += [f"/api/v1/datasets/{version.dataset_id}", f"/api/v1/datasets/{version.dataset_id}/versions"]
    for url in reading:
        statuses = [somebody.get(url).status_code for somebody in (bob_client, charlie_client, client)]
        assert statuses == [200, 404, 401], url
    for somebody, status in ((bob_client, 403), (charlie_client, 404), (client, 401)):
        assert somebody.delete(f"/api/v1/versions/{version.pk}").status_code == status
        split = somebody.post(f"/api/v1/versions/{version.pk}/split", "{}", "application/json")
        assert split.status_code == status


def test_full_disk_while_splitting_leaves_nothing_behind(
    alice_client: Client, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def full(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workers.data.deriving.plan", full)
    answer = post(alice_client, f"/api/v1/versions/{version.pk}/split", {"fraction": 0.5}, status=507)
    assert answer["error"]["code"] == "dataset.disk_full"
    monkeypatch.undo()
    settings.MINIMUM_FREE_MB = 1 << 40
    answer = post(alice_client, f"/api/v1/versions/{version.pk}/split", {"fraction": 0.5}, status=507)
    assert answer["error"]["code"] == "storage.disk_full"
    assert DatasetVersion.objects.count() == 1
    left = {path.name for path in files.canonical_path("x").parent.iterdir()}
    assert left == {f"{version.sha256}.jsonl", f"{version.sha256}.index"}


def test_half_characters_and_nul_are_no_crash(alice_client: Client, workspace: Workspace) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/datasets"
    answer = alice_client.post(url, '{"name": "a\\ud800\\u0000b", "description": "\\udfff"}', "application/json")
    assert (answer.status_code, answer.json()["name"]) == (201, "a?b")

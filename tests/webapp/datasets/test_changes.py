"""Versions from versions: bulk actions with preview and undo, comparison record by record, splits without leaks, the job."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.datasets.test_records import varied
from tests.webapp.datasets.uploading import post
from webapp.accounts.models import User, Workspace
from webapp.datasets import deriving, services, storing
from webapp.datasets.models import Dataset, DatasetVersion, VersionState
from webapp.jobs.leases import ensure_slots
from webapp.jobs.models import Job
from webapp.jobs.running import run_next
from workers.spec.record import Facets, Record


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Varied")
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=varied(200), origin="a test")


def test_bulk_delete_is_previewed_made_and_undone(
    alice_client: Client, bob_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    """S6.7: versions are immutable, so a bulk action makes the next one and undo discards it."""
    url = reverse("dataset_change", args=[workspace.slug, version.pk]) + "?label=card&quality_min=0.5"
    preview = alice_client.get(url).content.decode()
    assert "60 records are chosen." in preview
    assert "The new version has 140 records." in preview
    assert bob_client.get(url).status_code == 403
    made = DatasetVersion.objects.get(pk=alice_client.post(url, {"do": "delete"})["Location"].split("/")[-2])
    assert (made.number, made.count, made.parent, made.state) == (2, 140, version, VersionState.READY)
    page = alice_client.get(reverse("dataset_version", args=[workspace.slug, made.pk])).content.decode()
    assert "60 records deleted" in page
    undo = reverse("dataset_undo", args=[workspace.slug, made.pk])
    assert undo in page
    assert bob_client.post(undo).status_code == 403
    assert alice_client.post(undo)["Location"] == reverse("dataset_version", args=[workspace.slug, version.pk])
    assert list(version.dataset.versions.all()) == [version]
    assert alice_client.post(reverse("dataset_undo", args=[workspace.slug, version.pk])).status_code == 409


def test_fields_are_set_and_taken_away(alice_client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/change"
    made = post(alice_client, url, {"filter": "q=退货&label=card", "action": "set", "field": "split", "value": "test"})
    facets = alice_client.get(f"/api/v1/versions/{made['id']}/facets").json()["facets"]
    assert {value: numbers[0] for value, numbers in facets["split"].items()} == {"": 100, "test": 100}
    relabelled = post(alice_client, url, {"filter": "label=card", "action": "set", "field": "label", "value": "payment"})
    assert relabelled["stats"]["labels"] == {"cash": 100, "payment": 100}
    bare = post(alice_client, url, {"action": "set", "field": "quality"})
    assert "quality" not in bare["stats"]["ranges"]
    same = post(alice_client, url, {"filter": "label=cash", "action": "set", "field": "label", "value": "cash"})
    assert same["sha256"] == version.sha256, "what does not change is byte for byte the same"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "delete"}, "dataset.nothing_left"),
        ({"action": "delete", "filter": "label=nobody"}, "change.no_records"),
        ({"action": "paint"}, "change.invalid"),
        ({"action": "set"}, "change.invalid"),
        ({"action": "set", "field": "quality", "value": "good"}, "change.invalid"),
        ({"action": "set", "field": "id", "value": "x"}, "change.invalid"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    alice_client: Client, version: DatasetVersion, body: dict[str, Any], code: str
) -> None:
    answer = post(alice_client, f"/api/v1/versions/{version.pk}/change", body, status=422)
    assert answer["error"]["code"] == code
    assert DatasetVersion.objects.count() == 1


def test_no_ticked_record_means_none_not_all(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    url = reverse("dataset_change", args=[workspace.slug, version.pk])
    assert "0 records are chosen." in alice_client.get(f"{url}?position=-").content.decode()
    assert alice_client.post(f"{url}?position=-", {"do": "delete"}).status_code == 422
    alice_client.post(f"{url}?position=-&position=3&position=5", {"do": "keep"})
    made = DatasetVersion.objects.get(number=2)
    assert list(made.records.order_by("position").values_list("key", flat=True)) == ["r3", "r5"]


def test_any_two_versions_are_compared(
    alice: User, alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    """Added, removed, changed by id, record by record."""
    records = varied(200)
    records[7] = records[7].model_copy(update={"text": "Question 7 about 换货"})
    records[9] = records[9].model_copy(update={"label": "other"})
    records = [*records[:100], Record(id="new", text="fresh"), *records[101:]]
    newer = services.create_version_from_records(user=alice, dataset_id=version.dataset_id, records=records, origin="edited")
    url = f"/api/v1/versions/{newer.pk}/compare/{version.pk}"
    found = alice_client.get(f"{url}?limit=1").json()
    assert found["counts"] == {"changed": 2, "added": 1, "removed": 1, "same": 197}
    assert [item["key"] for item in found["items"]] == ["r7"]
    rest = alice_client.get(f"{url}?limit=1&cursor={found['next_cursor']}").json()
    assert ([item["key"] for item in rest["items"]], rest["next_cursor"]) == (["r9"], None)
    assert alice_client.get(f"{url}?show=added").json()["items"][0]["old"] is None
    assert alice_client.get(f"{url}?show=removed").json()["items"][0]["old"]["data"]["id"] == "r100"
    assert alice_client.get(f"{url}?show=sideways").status_code == 422
    assert alice_client.get(f"{url}?cursor=ImFiYyI").status_code == 400
    page = reverse("dataset_compare", args=[workspace.slug, newer.pk]) + f"?with={version.pk}"
    text = alice_client.get(page).content.decode()
    assert '<del class="diff-removed">退</del><ins class="diff-added">换</ins>' in text
    assert "other" in text
    assert bob_client.get(page).status_code == 200
    assert charlie_client.get(page).status_code == 404
    assert charlie_client.get(url).status_code == 404


def test_split_leaks_no_content_even_under_other_labels(alice: User, workspace: Workspace) -> None:
    """S6: the same words under another id, label, source, case or spacing are never on two sides."""
    records = [
        Record(
            id=f"r{number}",
            text=f"The {'SAME' if number % 2 else 'same '} text {number % 40}",
            label=str(number % 3),
            facets=Facets(source=f"s{number % 5}"),
        )
        for number in range(400)
    ]
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Copies")
    version = services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    parts = [{"name": "train", "share": 0.7}, {"name": "validation", "share": 0.1}, {"name": "test", "share": 0.2}]
    split = deriving.checked_split(parts=parts, seed=3, stratify="source")
    made = deriving.split_parts(user=alice, version_id=version.pk, split=split)
    texts = [{" ".join(text.lower().split()) for text in part.records.values_list("text", flat=True)} for part in made]
    assert [len(found) for found in texts] == [28, 4, 8]
    assert not texts[0] & (texts[1] | texts[2])
    assert not texts[1] & texts[2]
    assert sum(part.count for part in made) == 400
    assert [part.dataset.name for part in made] == ["Copies · train", "Copies · validation", "Copies · test"]


def test_split_keeps_the_shares_of_a_facet(alice: User, version: DatasetVersion) -> None:
    split = deriving.checked_split(parts=[{"name": "a", "share": 0.75}, {"name": "b", "share": 0.25}], seed=1, stratify="source")
    parts = deriving.split_parts(user=alice, version_id=version.pk, split=split)
    whole = Counter(record.facets.source for record in varied(200))
    for value, count in whole.items():
        held = parts[1].stats["facets"]["source"][value][0]
        assert abs(held - count / 4) <= 1


def test_split_follows_what_the_records_say(alice_client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/split"
    parts = [{"name": "shop 0"}, {"name": "others", "value": "shop 1"}]
    made = post(alice_client, url, {"parts": parts, "facet": "source"})
    assert [part["count"] for part in made] == [67, 67]
    for broken in (
        {"parts": [{"name": "a", "share": 0.5}]},
        {"parts": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.1}]},
        {"parts": [{"name": "a"}, {"name": "b"}], "facet": "source"},
        {"parts": [{"name": "a"}, {"name": "b"}], "facet": "colour"},
        {"parts": [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}]},
    ):
        assert "error" in post(alice_client, url, broken, status=422)
    assert Dataset.objects.count() == 3


def test_large_versions_are_derived_by_a_job(
    alice: User, alice_client: Client, workspace: Workspace, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request only queues it; the real job makes what the instant way makes."""
    instant = [part.sha256 for part in deriving.split_version(user=alice, version_id=version.pk, fraction=0.3, seed=5)]
    monkeypatch.setattr(deriving, "INSTANT_RECORDS", 10)
    made = deriving.split_version(user=alice, version_id=version.pk, fraction=0.3, seed=5)
    changed = post(
        alice_client, f"/api/v1/versions/{version.pk}/change", {"filter": "label=card", "action": "set", "field": "label"}
    )
    assert [part.state for part in made] == [VersionState.BUILDING] * 2
    assert Job.objects.filter(kind="derive_dataset").count() == 2
    assert alice_client.delete(f"/api/v1/versions/{version.pk}").status_code == 409, "it is being read"
    ensure_slots()
    assert run_next("light")
    assert run_next("light")
    for part in made:
        part.refresh_from_db()
    assert [part.sha256 for part in made] == instant
    assert [part.state for part in made] == [VersionState.READY] * 2
    assert DatasetVersion.objects.get(pk=changed["id"]).stats["labels"] == {"cash": 100}
    page = alice_client.get(reverse("dataset_version", args=[workspace.slug, changed["id"]]))
    assert page.status_code == 200


def test_job_whose_source_is_gone_fails_and_says_so(
    alice: User, alice_client: Client, workspace: Workspace, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deriving, "INSTANT_RECORDS", 10)
    made = deriving.split_version(user=alice, version_id=version.pk, fraction=0.3)
    DatasetVersion.objects.filter(pk=version.pk).delete()
    ensure_slots()
    assert run_next("light")
    page = reverse("dataset_version", args=[workspace.slug, made[0].pk])
    assert "has been deleted; start from another" in alice_client.get(page).content.decode()


def test_strangers_change_nothing(
    bob_client: Client, charlie_client: Client, client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    body = json.dumps({"action": "delete", "filter": "label=card"})
    url = f"/api/v1/versions/{version.pk}/change"
    statuses = [somebody.post(url, body, "application/json").status_code for somebody in (bob_client, charlie_client, client)]
    assert statuses == [403, 404, 401]
    page = reverse("dataset_change", args=[workspace.slug, version.pk])
    assert [somebody.get(page).status_code for somebody in (bob_client, charlie_client, client)] == [403, 404, 302]


def test_records_of_the_web_are_stored_by_a_job_when_many(
    alice: User, workspace: Workspace, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people labelled, for example; the job's worker asks the source again, so it can be run again."""
    asked: list[Any] = []

    def source(parameters: Mapping[str, Any]) -> list[Record]:
        asked.append(parameters)
        return varied(30)

    storing.register_source("a test", source)
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Stored")
    wanted = {"source": "a test", "parameters": {"project": 7}, "expected": 30, "origin": "people", "parent": version}
    few = storing.create_version_from_source(user=alice, dataset_id=dataset.pk, **wanted)
    monkeypatch.setattr(storing, "INSTANT_RECORDS", 10)
    many = storing.create_version_from_source(user=alice, dataset_id=dataset.pk, **wanted)
    assert (few.state, many.state) == (VersionState.READY, VersionState.BUILDING)
    ensure_slots()
    assert run_next("light")
    many.refresh_from_db()
    assert (many.state, many.sha256, many.stats) == (VersionState.READY, few.sha256, few.stats)
    assert asked == [{"project": 7}, {"project": 7}]

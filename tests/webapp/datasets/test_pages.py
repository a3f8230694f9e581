"""Pages of data: every one opens for a member, none for a stranger, and the way from a file to a version works by clicks."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.datasets.test_versions import conversation, labelled
from tests.webapp.datasets.uploading import LABELLED, import_file, send
from webapp.accounts.models import User, Workspace
from webapp.datasets import services
from webapp.datasets.models import Dataset, DatasetVersion, Upload
from webapp.jobs.leases import ensure_slots
from webapp.jobs.running import run_next


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Questions", description="What people ask")
    records = [*labelled(120), conversation("talk", "<b>可以退货吗？</b>", "可以。")]
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")


def addresses(workspace: Workspace, version: DatasetVersion) -> dict[str, str]:
    slug = workspace.slug
    return {
        "list": reverse("datasets", args=[slug]),
        "dataset": reverse("dataset", args=[slug, version.dataset_id]),
        "version": reverse("dataset_version", args=[slug, version.pk]),
        "overview": reverse("dataset_overview", args=[slug, version.pk]),
        "record": reverse("dataset_record", args=[slug, version.pk, 120]),
        "labels": reverse("dataset_figure", args=[slug, version.pk, "labels"]),
        "lengths": reverse("dataset_figure", args=[slug, version.pk, "lengths"]),
        "languages": reverse("dataset_figure", args=[slug, version.pk, "languages"]),
        "download": reverse("dataset_download", args=[slug, version.pk]),
    }


def test_pages_open_for_members_only(
    alice_client: Client,
    bob_client: Client,
    charlie_client: Client,
    client: Client,
    workspace: Workspace,
    version: DatasetVersion,
) -> None:
    for name, url in addresses(workspace, version).items():
        assert alice_client.get(url).status_code == 200, name
        assert bob_client.get(url).status_code == 200, name
        assert charlie_client.get(url).status_code == 404, name
        assert client.get(url).status_code == 302, name


def test_version_of_another_workspace_is_not_shown_in_mine(
    alice: User, alice_client: Client, charlie: User, version: DatasetVersion
) -> None:
    from webapp.accounts.services import create_workspace

    other = create_workspace(user=alice, name="Other")
    for url in addresses(other, version).values():
        if "/data/" in url and url != reverse("datasets", args=[other.slug]):
            assert alice_client.get(url).status_code == 404, url


def test_list_shows_counts_and_composition(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    text = alice_client.get(reverse("datasets", args=[workspace.slug])).content.decode()
    assert "Questions" in text
    assert ">121<" in text
    assert "labelled texts" in text
    assert alice_client.get(reverse("datasets", args=[workspace.slug]) + "?q=nothing").status_code == 200


def test_empty_workspace_leads_on(alice_client: Client, workspace: Workspace) -> None:
    text = alice_client.get(reverse("datasets", args=[workspace.slug])).content.decode()
    assert reverse("dataset_new", args=[workspace.slug]) in text


def test_records_are_filtered_and_paged_on_the_page(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    url = reverse("dataset_version", args=[workspace.slug, version.pk])
    text = alice_client.get(url).content.decode()
    cursor = re.search(r"\?cursor=([^\"&]+)", text)
    assert cursor
    following = alice_client.get(f"{url}?cursor={cursor.group(1)}").content.decode()
    assert "text number 50" in following
    assert "text number 49<" not in following
    found = alice_client.get(f"{url}?label=cash&q=number+11").content.decode()
    assert "text <mark>number</mark> <mark>11</mark>" in found
    assert "text <mark>number</mark> 12" not in found


def test_record_is_drawn_as_text(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    text = alice_client.get(addresses(workspace, version)["record"]).content.decode()
    assert "&lt;b&gt;可以退货吗？&lt;/b&gt;" in text
    assert "<b>可以" not in text
    assert alice_client.get(reverse("dataset_record", args=[workspace.slug, version.pk, 121])).status_code == 404


def test_file_is_previewed_and_imported_by_clicks(alice_client: Client, workspace: Workspace) -> None:
    """Issue 2, step 3."""
    slug = workspace.slug
    page = alice_client.get(reverse("dataset_new", args=[slug])).content.decode()
    assert f'data-url="/api/v1/workspaces/{slug}/uploads"' in page
    upload = send(alice_client, slug, "banking.csv", LABELLED)
    preview = alice_client.get(reverse("dataset_import", args=[slug]), {"upload": upload}).content.decode()
    assert "What is the question 0 about card?" in preview
    assert 'value="banking"' in preview
    changed = alice_client.get(
        reverse("dataset_import_preview", args=[slug]),
        {"upload": upload, "format": "csv", "encoding": "auto", "map_text": "label"},
    )
    assert changed.status_code == 200
    assert not Dataset.objects.exists()
    answer = alice_client.post(
        reverse("dataset_import", args=[slug]), {"upload": upload, "name": "Banking", "format": "auto", "encoding": "auto"}
    )
    made = DatasetVersion.objects.get()
    assert answer["Location"] == reverse("dataset_version", args=[slug, made.pk])
    assert "Watch the job" in alice_client.get(answer["Location"]).content.decode()
    ensure_slots()
    assert run_next("light")
    assert "records are ready" in alice_client.get(answer["Location"], headers={"hx-request": "true"}).content.decode()
    assert "What is the question 0" in alice_client.get(answer["Location"]).content.decode()


@pytest.mark.parametrize("content", [b" \n ", b"\x1f\x8b\x08broken", b'{"text": ', b"\x00\x01\x02" * 99])
def test_unreadable_file_is_told_on_the_preview_page(alice_client: Client, workspace: Workspace, content: bytes) -> None:
    upload = send(alice_client, workspace.slug, "bad.jsonl", content)
    answer = alice_client.get(reverse("dataset_import", args=[workspace.slug]), {"upload": upload})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()


def test_form_without_a_name_keeps_the_preview(alice_client: Client, workspace: Workspace) -> None:
    upload = send(alice_client, workspace.slug, "banking.csv", LABELLED)
    answer = alice_client.post(reverse("dataset_import", args=[workspace.slug]), {"upload": upload, "name": ""})
    assert answer.status_code == 200
    assert "invalid-feedback" in answer.content.decode()
    assert Upload.objects.filter(pk=upload).exists()


def test_new_version_comes_from_the_dataset_page(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    slug = workspace.slug
    page = alice_client.get(reverse("dataset_version_new", args=[slug, version.dataset_id])).content.decode()
    assert f"dataset={version.dataset_id}" in page
    upload = send(alice_client, slug, "more.csv", LABELLED)
    values = {"upload": upload, "dataset": version.dataset_id}
    assert alice_client.get(reverse("dataset_import", args=[slug]), values).status_code == 200
    alice_client.post(reverse("dataset_import", args=[slug]), values)
    assert [each.number for each in version.dataset.versions.order_by("number")] == [1, 2]


def test_refused_rows_are_shown_with_their_report(alice_client: Client, workspace: Workspace) -> None:
    version = import_file(alice_client, workspace.slug, "a.jsonl", b'{"text": "good"}\n{"text": \n', name="Half")
    text = alice_client.get(reverse("dataset_version", args=[workspace.slug, version.pk])).content.decode()
    report = reverse("dataset_errors", args=[workspace.slug, version.pk])
    assert report in text
    assert b"".join(alice_client.get(report).streaming_content).count(b"\r\n") == 2


def test_failed_import_shows_its_reason(alice_client: Client, workspace: Workspace) -> None:
    version = import_file(alice_client, workspace.slug, "a.jsonl", b'{"text": \n', name="Broken")
    for url in (
        reverse("dataset_version", args=[workspace.slug, version.pk]),
        reverse("dataset", args=[workspace.slug, version.dataset_id]),
    ):
        assert "None of the" in alice_client.get(url).content.decode()
    assert alice_client.get(reverse("datasets", args=[workspace.slug])).status_code == 200


def test_dataset_is_edited_split_and_deleted_by_clicks(
    alice_client: Client, bob_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    slug = workspace.slug
    split = reverse("dataset_split", args=[slug, version.pk])
    assert bob_client.post(split, {"percent": 20}).status_code == 403
    answer = alice_client.post(split, {"percent": 20, "seed": 1, "stratify": "label"})
    held_out = DatasetVersion.objects.get(recipe__split="held-out")
    assert answer["Location"] == reverse("dataset_version", args=[slug, held_out.pk])
    assert alice_client.get(answer["Location"]).status_code == 200
    overview = reverse("dataset_overview", args=[slug, held_out.pk])
    assert "held-out part" in alice_client.get(overview).content.decode()
    assert alice_client.post(split, {"percent": 0}).status_code == 422
    alice_client.post(reverse("dataset_edit", args=[slug, version.dataset_id]), {"name": "Renamed", "description": ""})
    version.dataset.refresh_from_db()
    assert version.dataset.name == "Renamed"
    alice_client.post(reverse("dataset_version_delete", args=[slug, held_out.pk]))
    assert not DatasetVersion.objects.filter(pk=held_out.pk).exists()
    assert alice_client.post(reverse("dataset_delete", args=[slug, version.dataset_id])).status_code == 302
    assert not Dataset.objects.filter(pk=version.dataset_id).exists()


def test_page_queries_stay_few(
    alice_client: Client, workspace: Workspace, version: DatasetVersion, django_assert_max_num_queries: Any
) -> None:
    for name, limit in (("list", 12), ("dataset", 18), ("version", 16), ("overview", 20), ("record", 10)):
        with django_assert_max_num_queries(limit):
            alice_client.get(addresses(workspace, version)[name])


def test_pages_speak_chinese(alice_client: Client, workspace: Workspace, version: DatasetVersion) -> None:
    """N7."""
    alice_client.cookies["shuyuan_language"] = "zh-hans"
    text = alice_client.get(reverse("datasets", args=[workspace.slug])).content.decode()
    assert "导入文件" in text
    answer = alice_client.get(f"/api/v1/versions/{version.pk}/download?format=nonsense", headers={"accept-language": "zh-hans"})
    assert "格式" in json.loads(answer.content)["error"]["message"]

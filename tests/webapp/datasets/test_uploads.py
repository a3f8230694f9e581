"""Uploads: resumable parts, right offsets, and every way in which a file can be wrong."""

import errno
import json
from typing import Any

import pytest
from django.test import Client

from tests.webapp.datasets.uploading import post, send
from webapp.accounts.models import Workspace
from webapp.datasets import uploads
from webapp.datasets.models import Upload


def put(client: Client, upload: int, offset: int, content: bytes) -> Any:
    return client.put(f"/api/v1/uploads/{upload}?offset={offset}", content, "application/octet-stream")


def test_parts_make_the_whole_file(alice_client: Client, workspace: Workspace) -> None:
    content = bytes(range(256)) * 40
    upload = send(alice_client, workspace.slug, "数据.bin", content, part=1000)
    state = alice_client.get(f"/api/v1/uploads/{upload}").json()
    assert (state["offset"], state["size"], state["state"]) == (len(content), len(content), "complete")
    assert uploads.upload_path(Upload.objects.get(pk=upload)).read_bytes() == content


def test_wrong_offset_is_answered_with_the_right_one(alice_client: Client, workspace: Workspace) -> None:
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/uploads", {"name": "a.jsonl", "size": 10})
    assert made["offset"] == 0
    assert put(alice_client, made["id"], 0, b"12345").json()["offset"] == 5
    again = put(alice_client, made["id"], 0, b"12345")
    assert again.status_code == 409
    assert again.json()["offset"] == 5
    assert again.json()["error"]["details"]["offset"] == 5
    assert put(alice_client, made["id"], 7, b"890").status_code == 409
    assert put(alice_client, made["id"], 5, b"67890").json()["state"] == "complete"


def test_more_bytes_than_announced_are_refused(alice_client: Client, workspace: Workspace) -> None:
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/uploads", {"name": "a.jsonl", "size": 3})
    answer = put(alice_client, made["id"], 0, b"12345")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "upload.too_long"
    assert alice_client.get(f"/api/v1/uploads/{made['id']}").json()["offset"] == 0


def test_part_larger_than_the_limit_is_refused(alice_client: Client, workspace: Workspace) -> None:
    size = uploads.PART_BYTES + 1
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/uploads", {"name": "a.jsonl", "size": size})
    answer = put(alice_client, made["id"], 0, b"x" * size)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "upload.part_too_large")


@pytest.mark.parametrize(
    ("name", "size", "code"), [("a.csv", 0, "dataset.empty_file"), ("  ", 5, "upload.no_name"), ("..", 5, "upload.no_name")]
)
def test_impossible_file_is_refused(alice_client: Client, workspace: Workspace, name: str, size: int, code: str) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/uploads"
    assert post(alice_client, url, {"name": name, "size": size}, status=400)["error"]["code"] == code
    assert not Upload.objects.exists()


def test_name_with_folders_keeps_only_its_last_part(alice_client: Client, workspace: Workspace) -> None:
    upload = send(alice_client, workspace.slug, "../../etc/passwd", b"x")
    assert Upload.objects.get(pk=upload).name == "passwd"
    upload = send(alice_client, workspace.slug, "长" * 200 + ".jsonl", b"x")
    assert uploads.upload_path(Upload.objects.get(pk=upload)).name == f"{upload}.jsonl"


def test_full_disk_is_said_before_the_upload(alice_client: Client, workspace: Workspace) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/uploads"
    answer = post(alice_client, url, {"name": "a.jsonl", "size": 1 << 60}, status=507)
    assert answer["error"]["code"] == "storage.disk_full"


def test_disk_that_fills_during_a_part_keeps_what_arrived(
    alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/uploads", {"name": "a.jsonl", "size": 10})
    put(alice_client, made["id"], 0, b"12345")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads.os, "fsync", full)
    answer = put(alice_client, made["id"], 5, b"67890")
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "upload.disk_full")
    monkeypatch.undo()
    assert put(alice_client, made["id"], 5, b"67890").json()["state"] == "complete"


def test_unfinished_upload_is_not_imported(alice_client: Client, workspace: Workspace) -> None:
    made = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/uploads", {"name": "a.jsonl", "size": 10})
    put(alice_client, made["id"], 0, b"12345")
    answer = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/datasets", {"upload": made["id"]}, status=409)
    assert answer["error"]["code"] == "upload.incomplete"
    assert alice_client.get(f"/api/v1/workspaces/{workspace.slug}/datasets").json()["items"] == []


def test_upload_is_closed_to_annotators_and_strangers(
    alice_client: Client, bob_client: Client, charlie_client: Client, client: Client, workspace: Workspace
) -> None:
    upload = send(alice_client, workspace.slug, "a.jsonl", b"12345")
    url = f"/api/v1/workspaces/{workspace.slug}/uploads"
    body = json.dumps({"name": "a", "size": 1})
    for somebody, status in ((bob_client, 403), (charlie_client, 404), (client, 401)):
        assert somebody.post(url, body, "application/json").status_code == status
        assert somebody.get(f"/api/v1/uploads/{upload}").status_code == status
        assert put(somebody, upload, 5, b"x").status_code == status
        assert somebody.delete(f"/api/v1/uploads/{upload}").status_code == status


def test_stale_upload_is_discarded(alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Upload.objects.get(pk=send(alice_client, workspace.slug, "a.jsonl", b"12345"))
    uploads.discard_stale_uploads()
    assert Upload.objects.exists()
    monkeypatch.setattr(uploads, "KEPT_FOR", -uploads.KEPT_FOR)
    uploads.discard_stale_uploads()
    assert not Upload.objects.exists()
    assert not uploads.upload_path(upload).exists()

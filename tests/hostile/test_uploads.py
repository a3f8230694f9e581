"""Uploads by somebody who lies about offsets, sizes and names: refused in one sentence, nothing written outside uploads/."""

import html
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_refused, call, leftovers
from tests.webapp.datasets.uploading import post, send
from webapp.accounts.models import Workspace
from webapp.datasets import uploads
from webapp.datasets.models import Upload

URL = "/api/v1/workspaces/academy/uploads"


@pytest.fixture
def upload(alice_client: Client, workspace: Workspace) -> int:
    return int(post(alice_client, URL, {"name": "a.jsonl", "size": 10})["id"])


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        ("-1", "upload.wrong_offset"),
        ("1", "upload.wrong_offset"),
        ("10", "upload.wrong_offset"),
        ("99999999999999999999999999", "upload.wrong_offset"),
        ("0x5", "request.invalid"),
        ("NaN", "request.invalid"),
        ("", "request.invalid"),
    ],
)
def test_wrong_offsets(alice_client: Client, upload: int, offset: str, code: str) -> None:
    assert_refused(alice_client, "PUT", f"/api/v1/uploads/{upload}?offset={offset}", b"12345", code)
    assert alice_client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 0


@pytest.mark.parametrize(
    ("size", "code", "status"),
    [
        (0, "dataset.empty_file", 400),
        (-5, "dataset.empty_file", 400),
        (1 << 62, "storage.disk_full", 507),
        (1 << 80, "storage.disk_full", 507),
        ("many", "request.invalid", 422),
        (1.5, "request.invalid", 422),
        (None, "request.invalid", 422),
    ],
)
def test_impossible_sizes(alice_client: Client, workspace: Workspace, size: Any, code: str, status: int) -> None:
    assert_refused(alice_client, "POST", URL, {"name": "a.jsonl", "size": size}, code, status=status)
    assert not Upload.objects.exists()
    assert leftovers() == []


def test_part_beyond_the_limit_is_refused_before_and_while_reading(alice_client: Client, workspace: Workspace) -> None:
    made = post(alice_client, URL, {"name": "a.jsonl", "size": 64 << 20})
    url = f"/api/v1/uploads/{made['id']}?offset=0"
    assert_refused(alice_client, "PUT", url, b"x" * (uploads.PART_BYTES + 1), "upload.part_too_large", status=413)
    # a sender that announces little and sends much
    short = alice_client.generic("PUT", url, b"x" * (uploads.PART_BYTES + 1), "application/octet-stream", CONTENT_LENGTH="0")
    assert short.status_code in {200, 400, 413}
    odd = alice_client.generic("PUT", url, b"x", "application/octet-stream", CONTENT_LENGTH="nonsense")
    assert odd.status_code in {200, 400, 409}
    row = Upload.objects.get()
    assert row.offset <= 1
    assert row.size == 64 << 20


def test_bytes_beyond_the_announced_size(alice_client: Client, upload: int) -> None:
    assert_refused(alice_client, "PUT", f"/api/v1/uploads/{upload}?offset=0", b"x" * 11, "upload.too_long", status=400)


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/evil", "..\\..\\windows\\evil.jsonl", "/etc/passwd", "C:\\autoexec.bat", "a/../../b.jsonl",
        "...", "…/…", "con.jsonl", "-rf", "$(reboot).jsonl", "`id`.jsonl", "a\nb.jsonl", "a\rb\x1b[31m.jsonl",
        "\u202egnp.jsonl", "長" * 300 + ".jsonl", "x" * 5000, "." + "y" * 400, "<img src=x onerror=alert(1)>.jsonl",
        '"><script>alert(1)</script>.csv', "{{ 7*7 }}.jsonl", "{name}.jsonl", "%00.jsonl", "a;b|c&d.jsonl",
    ],
)  # fmt: skip
def test_names_never_leave_the_folder_nor_break_a_page(alice_client: Client, workspace: Workspace, name: str) -> None:
    number = send(alice_client, workspace.slug, name, b'{"text": "a"}\n')
    row = Upload.objects.get(pk=number)
    path = uploads.upload_path(row)
    assert path.read_bytes() == b'{"text": "a"}\n'
    assert [place.split("/")[:2] for place in leftovers()] == [["uploads", str(number)]]
    assert all(character.isprintable() for character in row.name), row.name
    shown = alice_client.get("/w/academy/data/import/preview/", {"upload": number}).content.decode()
    for evil in ("<img src=x", "<script>alert", "49.jsonl"):
        assert evil not in shown
    preview = call(alice_client, "GET", f"/api/v1/uploads/{number}/preview")
    assert preview.status_code == 200
    if "<" in row.name:
        listed = alice_client.get(f"/w/academy/data/import/?upload={number}").content.decode()
        assert row.name not in listed
        assert html.escape("<script>alert") not in shown or "&lt;" in shown


@pytest.mark.parametrize("name", ["", " ", "..", "/", "\\", "a/", "\x00", "\ud800/"])
def test_names_that_are_none(alice_client: Client, workspace: Workspace, name: str) -> None:
    assert_refused(alice_client, "POST", URL, {"name": name, "size": 4}, "upload.no_name", status=400)
    assert leftovers() == []

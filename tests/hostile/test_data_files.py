"""Files that are broken in every way: good rows go in, bad ones are reported with their line, nothing is half-written (S6.1)."""

import codecs
import gzip
import json
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_job_failed, assert_sentence, leftovers, run_one
from tests.webapp.datasets.uploading import import_file, post, send
from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion, RecordRow, VersionState

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = b'{"id": "good-1", "text": "a good row"}\n'
ALSO_GOOD = b'{"id": "good-2", "text": "another good row"}\n'
CHINESE = "".join(json.dumps({"id": f"c{n}", "text": f"第{n}条：你好，书院。"}, ensure_ascii=False) + "\n" for n in range(20))


def report(client: Client, version: DatasetVersion) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/versions/{version.pk}/errors")
    assert answer.status_code == 200
    return [json.loads(line) for line in b"".join(answer).splitlines()]  # type: ignore[arg-type]


ONE_BAD_ROW = [
    ("broken line", b'{"id": "x", "text": \n', "record.broken_json"),
    ("text that is no object", b'"only a text"\n', "record.no_object"),
    ("invalid UTF-8", b'{"id": "x", "text": "\xff\xfe\x80"}\n', "record.encoding"),
    ("half a UTF-8 character", b'{"id": "x", "text": "\xe4\xb9"}\n', "record.encoding"),
    ("10 MB line", b'{"id": "x", "text": "' + b"y" * (10 << 20) + b'"}\n', "record.line_too_long"),
    ("nested too deep", b'{"id": "x", "text": "t", "facets": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}\n", "record.too_deep"),
    ("nested beyond all", b'{"id": "x", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n", "record.too_deep"),
    ("NaN", b'{"id": "x", "text": "t", "weight": NaN}\n', "record.not_a_number"),
    ("infinity", b'{"id": "x", "text": "t", "weight": -Infinity}\n', "record.not_a_number"),
    ("number beyond all", b'{"id": "x", "text": "t", "n": ' + b"9" * 6000 + b"}\n", "record.bad_number"),
    ("lone surrogate", b'{"id": "x", "text": "\\ud800"}\n', "record.lone_surrogate"),
    ("lone surrogate as a name", b'{"id": "x", "text": "t", "messages": [{"\\udfff": 1}]}\n', ""),
    ("duplicate id", GOOD, "record.duplicate_id"),
    ("NUL character", b'{"id": "x", "text": "a\\u0000b"}\n', "record.null_character"),
    ("wrong types", b'{"id": "x", "messages": {"role": 7}}\n', ""),
    ("role nobody knows", b'{"id": "x", "messages": [{"role": "\\ud83d", "content": 5}]}\n', ""),
]


def test_every_bad_row_is_reported_and_good_ones_go_in(alice_client: Client, workspace: Workspace) -> None:
    """One file with every bad row: line, stable code and sentence of each; the two good rows become the version."""
    content = GOOD + b"".join(row for _, row, _ in ONE_BAD_ROW) + ALSO_GOOD + b'{"id": "cut", "text": "it breaks o'
    version = import_file(alice_client, workspace.slug, "bad.jsonl", content, name="Bad", format="jsonl")
    assert (version.state, version.error) == (VersionState.READY, "")
    assert list(version.records.order_by("position").values_list("key", flat=True)) == ["good-1", "good-2"]
    rows = report(alice_client, version)
    expected = [*((name, code) for name, _, code in ONE_BAD_ROW), ("truncated last line", "record.truncated")]
    lines = [*range(2, 2 + len(ONE_BAD_ROW)), 3 + len(ONE_BAD_ROW)]
    assert [row["line"] for row in rows] == lines
    for row, (name, code) in zip(rows, expected, strict=True):
        assert row["code"] == code or not code, (name, row)
        assert row["code"].startswith("record."), (name, row)
        assert_sentence(row["message"])
        assert len(row["head"]) <= 800
    assert leftovers("datasets") == []


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("utf16.jsonl", CHINESE.encode("utf-16"), 20),
        ("utf16be.jsonl", codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"), 20),
        ("gb18030.jsonl", CHINESE.encode("gb18030"), 20),
        ("utf8-bom.jsonl", codecs.BOM_UTF8 + CHINESE.encode(), 20),
        ("packed.jsonl.gz", gzip.compress(CHINESE.encode()), 20),
    ],
)
def test_other_encodings_are_read_as_what_they_are(
    alice_client: Client, workspace: Workspace, name: str, content: bytes, count: int
) -> None:
    version = import_file(alice_client, workspace.slug, name, content, name="Encoded")
    assert (version.state, version.count, version.refused) == (VersionState.READY, count, 0), version.error
    assert version.records.get(position=0).text == "第0条：你好，书院。"


@pytest.mark.parametrize(
    ("name", "content", "options", "code"),
    [
        ("blank.jsonl", b"\n \r\n\t\n", {}, "dataset.empty_file"),
        ("program.jsonl", b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 64, {}, "dataset.unknown_format"),
        ("program.jsonl", bytes(range(256)) * 64, {"format": "jsonl"}, "dataset.no_good_record"),
        ("torn.jsonl.gz", gzip.compress(CHINESE.encode())[:-30], {}, "dataset.broken_archive"),
        ("wrong.jsonl", CHINESE.encode("gb18030"), {"encoding": "utf-16"}, ""),
        ("table.csv", b"a,b\n1,2\n", {"mapping": {"text": "<b>x</b>"}}, "dataset.unknown_column"),
        ("deep.json", b"[" * 300_000, {}, ""),
    ],
)
def test_file_that_cannot_be_used_fails_with_one_sentence(
    alice_client: Client, workspace: Workspace, name: str, content: bytes, options: dict[str, Any], code: str
) -> None:
    version = import_file(alice_client, workspace.slug, name, content, name="Bad", **options)
    assert version.job is not None
    assert_job_failed(alice_client, version.job, code or version.job.error_code)
    assert version.job.error_code.startswith("dataset.")
    assert (version.state, version.path, version.count) == (VersionState.FAILED, "", 0)
    assert not RecordRow.objects.exists()
    assert [path for path in leftovers("uploads") if "errors" not in path] == []
    shown = alice_client.get(f"/w/academy/data/versions/{version.pk}/")
    assert shown.status_code == 200


def test_gzip_bomb_ends_with_a_sentence(alice_client: Client, workspace: Workspace) -> None:
    """80 MB of one line in 80 kB: nothing of it is kept in memory or on the disk."""
    packed = gzip.compress(b'{"text": "' + b"x" * (80 << 20) + b'"}', compresslevel=9)
    assert len(packed) < 300_000
    version = import_file(alice_client, workspace.slug, "bomb.jsonl.gz", packed, name="Bomb")
    assert version.job is not None
    assert_job_failed(alice_client, version.job, version.job.error_code)
    assert version.job.error_code.startswith("dataset.")
    assert version.state == VersionState.FAILED


def test_many_rows_from_a_few_bytes_stop_at_the_limit(alice_client: Client, workspace: Workspace) -> None:
    """A bomb of good rows would fill the disk: the import refuses what unpacks to a hundred times its size."""
    row = b'{"text": "' + b"y" * 400_000 + b'"}\n'
    packed = gzip.compress(row * 175, compresslevel=9)
    assert len(packed) * 100 < len(row) * 175
    version = import_file(alice_client, workspace.slug, "bomb.jsonl.gz", packed, name="Bomb")
    assert version.job is not None
    message = assert_job_failed(alice_client, version.job, "dataset.archive_too_large")
    assert "bomb.jsonl.gz" in message
    assert (version.state, version.path) == (VersionState.FAILED, "")


@pytest.mark.parametrize("name", ["long.jsonl", "long.json", "long.txt"])
def test_first_line_longer_than_what_is_looked_at(alice_client: Client, workspace: Workspace, name: str) -> None:
    """Whatever the format is taken for, no row is lost in silence."""
    content = b"".join(b'{"text": "%d %s"}\n' % (number, b"y" * 300_000) for number in range(3))
    version = import_file(alice_client, workspace.slug, name, content, name="Long")
    assert version.state == VersionState.READY, version.error
    if version.count < 3:
        assert [row["code"] for row in report(alice_client, version)] == ["record.more_follows"]
    assert version.count == 3 or name == "long.json"


def test_csv_that_is_one_endless_cell(alice_client: Client, workspace: Workspace) -> None:
    version = import_file(alice_client, workspace.slug, "quote.csv", b'text,label\n"' + b"open,x\n" * 200_000, name="Quote")
    assert version.job is not None
    assert_job_failed(alice_client, version.job, "dataset.no_good_record")


def test_preview_of_hostile_files_is_never_a_crash(alice_client: Client, workspace: Workspace) -> None:
    """The same files in the preview, which runs in the web server itself."""
    files = [
        b"".join(row for _, row, _ in ONE_BAD_ROW if len(row) < 1_000_000),
        b"[" * 300_000,
        b"\x1f\x8b\x08\x00broken",
        bytes(range(256)) * 64,
        b'text,label\n"' + b"open,x\n" * 20_000,
        b"\xef\xbb\xbf\xef\xbb\xbf",
        b"\xff\xfe\x00\xd8\x00\xd8",
        gzip.compress(b"y" * (64 << 20)),
    ]
    for content in files:
        upload = send(alice_client, workspace.slug, "bad.jsonl", content)
        for options in ("", "?format=jsonl", "?format=csv&encoding=utf-16", "?format=json&encoding=gb18030"):
            answer = alice_client.get(f"/api/v1/uploads/{upload}/preview{options}")
            found = answer.json()
            assert answer.status_code in {200, 400}, (content[:20], options, found)
            messages = [error["message"] for error in found["errors"]] if "errors" in found else [found["error"]["message"]]
            for message in messages:
                assert_sentence(message)
    assert not DatasetVersion.objects.exists()


def test_same_bad_upload_can_be_mended_and_retried(alice_client: Client, workspace: Workspace) -> None:
    """A failed import leaves the upload, so that other settings can be tried without sending it again."""
    upload = send(alice_client, workspace.slug, "a.csv", b"q,a\nwhat,that\nwho,she\n")
    made = post(alice_client, "/api/v1/workspaces/academy/datasets", {"upload": upload, "name": "A", "mapping": {"text": "no"}})
    run_one()
    assert DatasetVersion.objects.get(pk=made["version"]["id"]).state == VersionState.FAILED
    again = post(alice_client, f"/api/v1/datasets/{made['id']}/versions", {"upload": upload, "mapping": {"text": "q"}})
    run_one()
    assert DatasetVersion.objects.get(pk=again["id"]).state == VersionState.READY

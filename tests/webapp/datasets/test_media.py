"""S6.1: files that come with records are stored once, shown to members only, sent with ranges and never run."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.conftest import logged_in
from tests.webapp.datasets.uploading import import_file
from tests.workers.data.test_media import picture
from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_workspace
from webapp.datasets import media
from webapp.datasets.models import DatasetVersion, VersionMedia
from webapp.datasets.services import create_version_from_records, delete_version
from workers.data.records import read_records

pytestmark = pytest.mark.django_db


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PICTURE = picture(40, 20)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NAMES = {"cat/1.jpg": PICTURE, "dog/2.svg": SVG}


@pytest.fixture
def version(alice_client: Client, workspace: Workspace) -> DatasetVersion:
    return import_file(alice_client, workspace.slug, "pets.zip", packed(NAMES), name="Pets")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_archive_of_pictures_becomes_records_that_show_them(
    version: DatasetVersion, alice_client: Client, workspace: Workspace, data_folder: Path
) -> None:
    assert (version.state, version.count, version.stats["modalities"]) == ("ready", 2, {"image": 2})
    assert version.stats["media_bytes"] == {"image": len(PICTURE) + len(SVG)}
    path = data_folder / "media" / digest(PICTURE)[:2] / digest(PICTURE)
    assert path.read_bytes() == PICTURE
    page = alice_client.get(reverse("dataset_record", args=[workspace.slug, version.pk, 0])).content.decode()
    assert media.media_url(version, digest(PICTURE)) in page
    answer: Any = alice_client.get(media.media_url(version, digest(PICTURE)))
    assert (answer.status_code, answer["Content-Type"], b"".join(answer)) == (200, "image/jpeg", PICTURE)
    part: Any = alice_client.get(media.media_url(version, digest(PICTURE)), headers={"range": "bytes=2-5"})
    assert (part.status_code, b"".join(part)) == (206, PICTURE[2:6])


def test_files_are_sandboxed_and_only_for_members(
    version: DatasetVersion, alice_client: Client, bob_client: Client, charlie: User, client: Client
) -> None:
    url = media.media_url(version, digest(SVG))
    answer = alice_client.get(url)
    assert answer["Content-Type"] == "image/svg+xml"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert bob_client.get(url).status_code == 200
    assert logged_in(charlie).get(url).status_code == 404
    assert client.get(url).status_code in (302, 401, 403, 404)
    assert alice_client.get(media.media_url(version, "0" * 64)).status_code == 404
    assert alice_client.get(url.replace(digest(SVG), "..%2f..%2fsecret")).status_code == 404


def test_html_is_sent_as_bytes_to_download(version: DatasetVersion, alice_client: Client, data_folder: Path) -> None:
    path = media.stored_path("ab" * 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"<html><script>alert(1)</script>")
    VersionMedia.objects.create(version=version, sha256="ab" * 32)
    answer = alice_client.get(media.media_url(version, "ab" * 32))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")


def test_a_digest_that_is_only_claimed_opens_nothing(version: DatasetVersion, charlie: User) -> None:
    """Another workspace writes the digest of alice's picture into its own records and still cannot read it."""
    other = create_workspace(user=charlie, name="Elsewhere")
    row = {"id": "1", "modality": "image", "media": [{"kind": "image", "name": "1.jpg", "sha256": digest(PICTURE)}]}
    theirs = import_file(logged_in(charlie), other.slug, "a.jsonl", json.dumps(row).encode())
    assert theirs.state == "ready"
    assert logged_in(charlie).get(media.media_url(theirs, digest(PICTURE))).status_code == 404


def test_versions_made_from_others_keep_their_files_until_the_last_one_goes(version: DatasetVersion, alice: User) -> None:
    from webapp.datasets.files import version_path

    records = list(read_records(version_path(version)))
    made = create_version_from_records(user=alice, dataset_id=version.dataset_id, records=records[:1], origin="half", parent=None)
    assert list(VersionMedia.objects.filter(version=made).values_list("sha256", flat=True)) == [digest(PICTURE)]
    delete_version(user=alice, version_id=version.pk)
    assert media.stored_path(digest(PICTURE)).exists()
    assert not media.stored_path(digest(SVG)).exists()
    delete_version(user=alice, version_id=made.pk)
    assert not media.stored_path(digest(PICTURE)).exists()


def test_download_with_files_comes_back_whole(version: DatasetVersion, alice_client: Client, workspace: Workspace) -> None:
    told = alice_client.get(f"/api/v1/versions/{version.pk}/losses").json()["formats"]
    assert told["zip"] == []
    assert "alpaca" not in told
    answer: Any = alice_client.get(f"/api/v1/versions/{version.pk}/download?format=zip")
    assert answer["Content-Type"] == "application/zip"
    again = import_file(alice_client, workspace.slug, "again.zip", b"".join(answer), name="Again")
    assert again.sha256 == version.sha256


def test_preview_of_an_archive_tells_what_it_holds(alice_client: Client, workspace: Workspace) -> None:
    from tests.webapp.datasets.uploading import send

    upload = send(alice_client, workspace.slug, "pets.zip", packed({**NAMES, "../evil.jpg": b"x"}))
    found = alice_client.get(f"/api/v1/uploads/{upload}/preview").json()
    assert (found["format"], found["container"], len(found["records"])) == ("folder", "zip", 2)
    assert [row["code"] for row in found["errors"]] == ["record.outside_archive"]
    page = alice_client.get(reverse("dataset_import", args=[workspace.slug]) + f"?upload={upload}")
    assert "40 × 20" in page.content.decode()


def test_regions_are_drawn_on_their_picture_and_annotations_told_in_words(alice_client: Client, workspace: Workspace) -> None:
    box = {"id": "1", "kind": "box", "x": 1, "y": 2.5, "w": 10, "h": 5, "label": "<b>cat</b>", "rotation": 30}
    triangle = {"id": "2", "kind": "polygon", "points": [[0, 0], [5, 0], [5, 5]], "label": "dog"}
    row = {
        "id": "1",
        "modality": "image",
        "media": [{"kind": "image", "name": "1.jpg"}],
        "annotations": [
            {"q": "places", "type": "regions", "value": {"image": {"w": 40, "h": 20}, "regions": [box, triangle]}},
            {"q": "order", "type": "ranking", "value": [["A"], ["B", "C"]]},
            {
                "q": "talk",
                "type": "segments",
                "value": [{"id": "s", "start_ms": 0, "end_ms": 1500, "label": "Ann", "text": "hi"}],
            },
            {"q": "odd", "type": "spans", "value": 3},
        ],
    }
    content = packed({"records.jsonl": json.dumps(row).encode(), "1.jpg": PICTURE})
    version = import_file(alice_client, workspace.slug, "a.zip", content, name="Regions")
    page = alice_client.get(reverse("dataset_record", args=[workspace.slug, version.pk, 0])).content.decode()
    assert 'viewBox="0 0 40 20"' in page
    assert '<rect x="1" y="2.5" width="10" height="5" transform="rotate(30)"><title>&lt;b&gt;cat&lt;/b&gt;</title>' in page
    assert 'points="0,0 5,0 5,5"' in page
    for words in ("1. &lt;b&gt;cat", "A &gt; B = C", "0–1.5 s  Ann  hi"):
        assert words in page
    assert [loss["code"] for loss in alice_client.get(f"/api/v1/versions/{version.pk}/losses").json()["formats"]["csv"]] == [
        "no_files_within"
    ]

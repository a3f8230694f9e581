"""Files that records name: kept once by their content, given only to who may see a version that names them.

A file lies at `media/<first two of its SHA-256>/<SHA-256>` in the data folder. `VersionMedia` says which versions hold it:
a record that only claims a digest, brought in from elsewhere, opens nothing.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from webapp.core.errors import NotFound
from webapp.core.streaming import send_file
from webapp.datasets.models import DatasetVersion, VersionMedia

BATCH = 500
_HEAD_BYTES = 1024
_BEGINNINGS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}


def stored_path(sha256: str) -> Path:
    return Path(settings.DATA_DIR) / "media" / sha256[:2] / sha256


def media_url(version: DatasetVersion, sha256: str) -> str:
    return reverse("dataset_media", args=[version.dataset.workspace.slug, version.pk, sha256])


def record_for_page(version: DatasetVersion, data: Mapping[str, Any]) -> dict[str, Any]:
    """A record with `src`, the address that a page may show, beside each of its stored files."""
    if not data.get("media"):
        return dict(data)
    shown = [{**item, "src": media_url(version, item["sha256"])} if item.get("sha256") else dict(item) for item in data["media"]]
    return {**data, "media": shown}


def files_of(version: DatasetVersion) -> Callable[[str], Path | None]:
    """Where the file of a digest lies, if the version holds it: what exports ask."""

    def find(sha256: str) -> Path | None:
        held = VersionMedia.objects.filter(version=version, sha256=sha256).exists()
        path = stored_path(sha256)
        return path if held and path.is_file() else None

    return find


def adopt(version: DatasetVersion, folder: Path) -> None:
    """Take over the files that an import wrote below `folder`; may be repeated after a crash."""
    if not folder.is_dir():
        return
    files = (path for path in folder.glob("??/*") if path.is_file() and not path.is_symlink())
    while batch := list(islice(files, BATCH)):
        # The rows come first, so that deleting another version that holds the same file leaves it alone.
        _hold(version, {path.name for path in batch})
        for path in batch:
            target = stored_path(path.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def claim(version: DatasetVersion) -> None:
    """Note the files that the records name and that the workspace holds through another version already."""
    if not (version.stats.get("features") or {}).get("stored_media"):
        return
    digests = _digests(Path(settings.DATA_DIR, version.path))
    while batch := set(islice(digests, BATCH)):
        held = VersionMedia.objects.filter(version__dataset__workspace_id=version.dataset.workspace_id, sha256__in=batch)
        _hold(version, set(held.values_list("sha256", flat=True)))


def _hold(version: DatasetVersion, digests: Iterable[str]) -> None:
    rows = [VersionMedia(version=version, sha256=sha256) for sha256 in sorted(digests)]
    VersionMedia.objects.bulk_create(rows, ignore_conflicts=True)


def _digests(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            if b'"sha256":"' in line:
                yield from (item["sha256"] for item in json.loads(line).get("media", []) if item.get("sha256"))


def release(version: DatasetVersion) -> None:
    """Let go of a version's files, and remove those that no other version holds."""
    held = VersionMedia.objects.filter(version=version)
    while batch := list(held.values_list("sha256", flat=True)[:BATCH]):
        held.filter(sha256__in=batch).delete()
        kept = set(VersionMedia.objects.filter(sha256__in=batch).values_list("sha256", flat=True))
        for sha256 in set(batch) - kept:
            with contextlib.suppress(OSError):
                stored_path(sha256).unlink(missing_ok=True)


def serve(request: HttpRequest, version: DatasetVersion, sha256: str) -> HttpResponseBase:
    """A file of the version, with ranges. It is never run: its kind is told by its bytes, and it is sandboxed."""
    path = stored_path(sha256)
    if not VersionMedia.objects.filter(version=version, sha256=sha256).exists() or not path.is_file():
        raise NotFound
    kind = sniff(path)
    response = send_file(request, path, name=sha256[:16], content_type=kind, sha256=sha256)
    if kind != "application/octet-stream":
        response.headers["Content-Disposition"] = "inline"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


def sniff(path: Path) -> str:
    """The media type that the first bytes tell; everything that is no known media is bytes to download."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "application/octet-stream")
    if head[4:8] == b"ftyp":
        return "audio/mp4" if head[8:12] == b"M4A " else "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "image/tiff"
    if head.lstrip().startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return "image/svg+xml"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), "application/octet-stream")

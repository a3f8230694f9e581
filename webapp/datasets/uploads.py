"""Files that arrive in parts: resumable, checked at every part, never larger than announced."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets.access import access_upload
from webapp.datasets.models import DatasetVersion, Upload, VersionState
from webapp.datasets.words import clean

PART_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
NAME_BYTES = 240
KEPT_FOR = timedelta(days=7)


class WrongOffset(UserError):
    """The part does not begin where the file ends so far; `offset` is where it does."""

    def __init__(self, offset: int) -> None:
        super().__init__(
            "upload.wrong_offset",
            "The server has {offset} bytes of this file; send the part that begins there.",
            status=409,
            offset=offset,
        )
        self.offset = offset


def upload_path(upload: Upload) -> Path:
    """In a folder of its own under its own name, which messages about the file show."""
    _, dot, suffix = upload.name.rpartition(".")
    name = upload.name if len(upload.name.encode()) <= NAME_BYTES else f"{upload.pk}{dot}{suffix[:20]}"
    return storage.folder("uploads", str(upload.pk)) / name


def start_upload(*, user: User, slug: str, name: str, size: int) -> Upload:
    """Announce a file of `size` bytes; its parts follow."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    plain = "".join(filter(str.isprintable, clean(name))).replace("\\", "/").rsplit("/", 1)[-1].strip()[:255]
    if plain in {"", ".", ".."}:
        raise UserError("upload.no_name", "The file has no name; give it one.")
    if size <= 0:
        raise UserError("dataset.empty_file", "The file {file} is empty; choose another one.", file=plain)
    storage.require_space(size)
    return Upload.objects.create(workspace=workspace, created_by=user, name=plain, size=size)


def receive_part(*, user: User, upload_id: int, offset: int, read: Callable[[int], bytes], announced: int) -> Upload:
    """Write the bytes that `read(n)` gives at `offset`. `announced`: the request's Content-Length, 0 when unknown.

    The row's offset moves by compare-and-set after the bytes are on the disk, so a killed server or two senders at once
    never leave a gap.
    """
    upload = access_upload(user, upload_id)
    if announced > PART_BYTES:
        raise _too_large()
    if offset != upload.offset:
        raise WrongOffset(upload.offset)
    storage.require_space(min(upload.size - upload.offset, PART_BYTES))
    try:
        written = _write(upload, offset, read)
    except OSError as error:
        raise _disk_error(error) from error
    if not Upload.objects.filter(pk=upload.pk, offset=offset).update(offset=offset + written):
        upload.refresh_from_db()
        raise WrongOffset(upload.offset)
    upload.offset = offset + written
    return upload


def _write(upload: Upload, offset: int, read: Callable[[int], bytes]) -> int:
    written = 0
    descriptor = os.open(upload_path(upload), os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.seek(offset)
        while piece := read(READ_BYTES):
            written += len(piece)
            if written > PART_BYTES:
                raise _too_large()
            if offset + written > upload.size:
                raise UserError(
                    "upload.too_long",
                    "More bytes came than the {size} that were announced for {file}; upload it again.",
                    size=upload.size,
                    file=upload.name,
                )
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return written


def _too_large() -> UserError:
    return UserError(
        "upload.part_too_large",
        "A part may have {limit} MB; send the file in smaller parts.",
        status=413,
        limit=PART_BYTES // 2**20,
    )


def _disk_error(error: OSError) -> UserError:
    if error.errno == 28:
        return UserError(
            "upload.disk_full",
            "The disk is full; free some space and press Continue: what has arrived is kept.",
            status=507,
        )
    return UserError(
        "upload.system_error", "The file cannot be stored: {detail}.", status=500, detail=error.strerror or str(error)
    )


def require_complete(upload: Upload) -> None:
    if not upload.is_complete:
        raise UserError(
            "upload.incomplete",
            "Only {offset} of {size} bytes of {file} have arrived; finish the upload first.",
            status=409,
            offset=upload.offset,
            size=upload.size,
            file=upload.name,
        )


def delete_upload(*, user: User, upload_id: int) -> None:
    """Forget a file that is not being imported."""
    upload = access_upload(user, upload_id)
    if uploads_in_use().filter(recipe__upload=upload.pk).exists():
        raise UserError("upload.in_use", "{file} is being imported; cancel that job first.", status=409, file=upload.name)
    discard(upload)


def uploads_in_use() -> Any:
    return DatasetVersion.objects.filter(state=VersionState.BUILDING)


def discard(upload: Upload) -> None:
    shutil.rmtree(upload_path(upload).parent, ignore_errors=True)
    Upload.objects.filter(pk=upload.pk).delete()


def discard_stale_uploads() -> None:
    """A duty: files that nobody imported for a week."""
    busy = set(uploads_in_use().values_list("recipe__upload", flat=True))
    for upload in Upload.objects.filter(created_at__lt=timezone.now() - KEPT_FOR):
        if upload.pk not in busy:
            discard(upload)

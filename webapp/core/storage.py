"""Files in the data folder: safe names, atomic writes, free space, digests."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from webapp.core.errors import UserError


def folder(*parts: str) -> Path:
    """A folder below the data folder, made when missing. Parts come from us, never from a request."""
    path = Path(settings.DATA_DIR).joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def inside(root: Path, relative: str) -> Path:
    """`root/relative`, refused when it would leave root (.., absolute paths, links)."""
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UserError("storage.outside", "The path “{path}” leaves its folder; use a path inside it.", path=relative)
    return path


def require_space(needed_bytes: int = 0) -> None:
    """Refuse work that would fill the disk: `needed_bytes` plus a reserve must be free in the data folder."""
    reserve = settings.MINIMUM_FREE_MB * 1024 * 1024
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < needed_bytes + reserve:
        raise UserError(
            "storage.disk_full",
            "The disk has {free} MB left and this needs {needed} MB; delete what you do not need or add space, then try again.",
            status=507,
            free=free // 2**20,
            needed=(needed_bytes + reserve) // 2**20,
        )


def write_atomically(path: Path, chunks: Iterable[bytes]) -> str:
    """Write a file whole or not at all; returns its SHA-256 (hex)."""
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

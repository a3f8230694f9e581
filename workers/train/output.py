"""Writes results so that a crash leaves no half-written folder, and names them by their content."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def publish_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes `target` in one rename, on failure it is removed."""
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            # safetensors writes for its owner alone; the umask of the folder's other files should hold for all.
            file.chmod(0o755 if file.is_dir() else 0o644)
            fsync_path(file)
        fsync_path(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        fsync_path(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fsync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, pattern: str) -> str:
    """SHA-256 over the digests of the files that match, in the order of their names; of the file itself if it is one."""
    digests = [file_digest(path) for path in sorted(folder.glob(pattern))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin a write of `needed` bytes that the disk cannot hold."""
    if shutil.disk_usage(folder).free < needed + (16 << 20):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def save_tensors(tensors: Mapping[str, "torch.Tensor"], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write one safetensors file. A full disk is an OSError here, whatever the library calls it."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    require_space(path.parent, sum(item.numel() * item.element_size() for item in tensors.values()))
    try:
        save_file({name: item.detach().contiguous() for name, item in tensors.items()}, path, dict(metadata or {}))
    except SafetensorError as error:
        if f"os error {errno.ENOSPC}" in str(error).lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise

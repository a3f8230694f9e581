"""Folders of the engines' cache: there whole or not at all, written by whoever comes first.

A writer holds a lock on its unfinished folder. The system lets go of it when the process ends, however it ends, so a
folder that nobody holds is a leftover of a killed one and is swept.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = ".writing-"
FRESH_SECONDS = 60.0
"""A folder is made a moment before it is locked."""


def filled(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, filled by `write(temporary folder)` unless the cache has it."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.parent))
    lock = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write(temporary)
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)
    return folder


def _publish(temporary: Path, folder: Path) -> None:
    for path in temporary.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    try:
        os.rename(temporary, folder)  # noqa: PTH104  (fails when the folder exists; replace would not)
    except OSError:
        # Another process wrote the same bytes first; theirs serve as well.
        if not folder.exists():
            raise


def sweep(cache: Path) -> list[Path]:
    """Delete what killed writers left below `cache`; returns what it was."""
    left = [path for path in cache.glob(f"*/{PREFIX}*") if _is_left(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _is_left(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime < FRESH_SECONDS:
            return False
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False  # its writer has just published or removed it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True

"""The index that lies beside the canonical file of a version (`workers.data.index`). Versions of equal content share it."""

import contextlib
import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from webapp.core import storage
from webapp.datasets.files import version_path
from webapp.datasets.models import DatasetVersion
from workers.data.index.facts import record_language, record_words
from workers.data.records import slim_digest

if TYPE_CHECKING:  # numpy is loaded by the first question, not by the start of the server
    from workers.data.index.reader import Index

OPEN = 32


def index_folder(sha256: str) -> Path:
    return storage.folder("datasets") / f"{sha256}.index"


def open_index(version: DatasetVersion) -> "Index":
    """The index of a ready version; made again from the canonical file when it is missing or of an older format."""
    return index_of(version_path(version), version.sha256)


def index_of(path: Path, sha256: str) -> "Index":
    """The index of a canonical file, built when there is none that can be read."""
    folder = index_folder(sha256)
    try:
        return open_folder(folder)
    except (FileNotFoundError, ValueError, KeyError):
        open_folder.cache_clear()
        if folder.exists():  # of another format, or broken; a missing one may be on its way from another process
            shutil.rmtree(folder, ignore_errors=True)
        build_index(path, folder)
        return open_folder(folder)


def adopt_index(made: Path, sha256: str, count: int) -> None:
    """Put a program's index of all `count` records beside the canonical file of the same content, unless one lies there."""
    from workers.data.index.builder import DIGEST_BYTES, DIGESTS

    with contextlib.suppress(OSError):  # none was made, or an equal one is there
        if (made / DIGESTS).stat().st_size == count * DIGEST_BYTES:
            made.rename(index_folder(sha256))
    shutil.rmtree(made, ignore_errors=True)


def whole_digests(sha256: str, count: int) -> list[str] | None:
    """The content digests of all records in hex, where the index of this content has them."""
    from workers.data.index.builder import DIGEST_BYTES, DIGESTS

    try:
        found = (index_folder(sha256) / DIGESTS).read_bytes().hex()
    except FileNotFoundError:
        return None
    width = 2 * DIGEST_BYTES
    return [found[at : at + width] for at in range(0, len(found), width)] if len(found) == count * width else None


@lru_cache(maxsize=OPEN)
def open_folder(folder: Path) -> "Index":
    """The index in a folder, kept open: what it holds never changes."""
    from workers.data.index.reader import Index

    return Index(folder)


def build_index(path: Path, folder: Path) -> None:
    """Index a canonical file."""
    from workers.data.index.builder import IndexBuilder

    builder = IndexBuilder(folder)
    try:
        with path.open("rb") as file:
            for line in file:
                data = json.loads(line)
                words = record_words(data)
                builder.add(data, len(line), slim_digest(data), words, record_language(data, words))
        builder.finish()
    finally:
        builder.discard()


def discard_index(sha256: str) -> None:
    open_folder.cache_clear()  # files that stay mapped would keep their space
    shutil.rmtree(index_folder(sha256), ignore_errors=True)

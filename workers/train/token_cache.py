"""Tokens of datasets that were tokenised before, named by all that decides them: datasets, tokenizer, template, settings.

The folder comes in SHUYUAN_CACHE; without it nothing is kept. Entries are whole or absent, and the oldest make room.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.spec.run import DatasetInput
from workers.train.packing import Documents

FORMAT = 1
"""Raised when the way in which records become tokens changes."""
MOST_BYTES = 4 << 30
Made = tuple[Documents, dict[str, Any]]
"""Documents, and what else is known of them (JSON)."""


def tokenised(
    datasets: Sequence[DatasetInput], template_hash: str, settings: Mapping[str, Any], make: Callable[[], Made]
) -> Made:
    """From the cache, or made by `make` and put there. `template_hash` names tokenizer and template together."""
    place = os.environ.get("SHUYUAN_CACHE", "")
    if not place:
        return make()
    path = Path(place) / f"{_key(datasets, template_hash, settings)}.npz"
    if (found := _read(path)) is not None:
        return found
    made = make()
    _write(path, made)
    return made


def is_kept(datasets: Sequence[DatasetInput], template_hash: str, settings: Mapping[str, Any]) -> bool:
    place = os.environ.get("SHUYUAN_CACHE", "")
    return bool(place) and (Path(place) / f"{_key(datasets, template_hash, settings)}.npz").is_file()


def _key(datasets: Sequence[DatasetInput], template_hash: str, settings: Mapping[str, Any]) -> str:
    parts = [FORMAT, [item.sha256 for item in datasets], template_hash, dict(settings)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _read(path: Path) -> Made | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            documents = Documents(arrays["tokens"], arrays["starts"], arrays["learnt"])
            more = json.loads(arrays["more"].tobytes())
        os.utime(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # absent, or damaged: made again
    return documents, more


def _write(path: Path, made: Made) -> None:
    """A full disk costs the cache, not the run."""
    documents, more = made
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            told = np.frombuffer(json.dumps(more, ensure_ascii=False).encode("utf-8", "replace"), dtype=np.uint8)
            np.savez(file, tokens=documents.tokens, starts=documents.starts, learnt=documents.learnt, more=told)
        temporary.replace(path)
        _make_room(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    entries = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in entries)
    for path in entries[:-1]:
        if total <= MOST_BYTES:
            return
        total -= path.stat().st_size
        path.unlink(missing_ok=True)

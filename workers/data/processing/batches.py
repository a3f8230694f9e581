"""Reading canonical files as dictionaries, and taking them a few thousand at a time."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
BATCH_RECORDS = 2000
BATCH_CHARACTERS = 2_000_000


def read_lines(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The records of a canonical file from a byte offset on."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            yield json.loads(line)


def batched(items: Iterable[Item], *, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Lists of at most BATCH_RECORDS items and about BATCH_CHARACTERS characters."""
    batch: list[Item] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += size(item)
        if len(batch) >= BATCH_RECORDS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch

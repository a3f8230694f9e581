"""Reads and checks the header of a safetensors file without loading a tensor.

Layout (safetensors documentation): eight bytes with the header's length, little-endian; that many bytes of JSON which map
each tensor to its dtype, shape and byte range; then the data, without gaps.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.spec.errors import UserError

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Header:
    """`tensors`: name → (dtype, shape)."""

    tensors: dict[str, tuple[str, tuple[int, ...]]]

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for _, shape in self.tensors.values())

    @property
    def dtypes(self) -> set[str]:
        return {dtype for dtype, _ in self.tensors.values()}


def read_header(path: Path) -> Header:
    """The header of `path`; UserError when the file is no safetensors file or not as long as its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 2 <= length <= min(LONGEST_HEADER, size - LENGTH_BYTES):
            raise _broken(path, "its header is cut off or is none")
        text = file.read(length)
    try:
        entries: dict[str, Any] = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {name: (str(entry["dtype"]), tuple(map(int, entry["shape"]))) for name, entry in entries.items()}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _broken(path, "its header cannot be read") from error
    expected = LENGTH_BYTES + length + max(ends, default=0)
    if expected != size:
        raise _broken(path, f"it has {size} bytes and its header promises {expected}")
    return Header(tensors)


def _broken(path: Path, reason: str) -> UserError:
    return UserError(
        "model.broken_weights",
        "The weights file {file} is damaged: {reason}; copy or download it again.",
        file=path.name,
        reason=reason,
    )

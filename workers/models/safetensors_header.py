"""Reads and checks the header of a safetensors file without loading a tensor.

Layout (safetensors documentation): eight bytes with the header's length, little-endian; that many bytes of JSON which map
each tensor to its dtype, shape and byte range; then the data, without gaps.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.spec.errors import UserError

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Size of a number by the name that safetensors gives its type."""
Tensor = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Header:
    """`tensors`: name → (dtype, shape)."""

    tensors: dict[str, Tensor]

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
        tensors = {name: (str(entry["dtype"]), _numbers(entry["shape"])) for name, entry in entries.items()}
        ranges = {name: _numbers(entry["data_offsets"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _broken(path, "its header cannot be read") from error
    _check_ranges(path, tensors, ranges)
    expected = LENGTH_BYTES + length + max((end for _, end in ranges.values()), default=0)
    if expected != size:
        raise _broken(path, f"it has {size} bytes and its header promises {expected}")
    return Header(tensors)


def _numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise TypeError("a list of whole numbers is expected")
    return tuple(value)


def _check_ranges(path: Path, tensors: Mapping[str, Tensor], ranges: Mapping[str, tuple[int, ...]]) -> None:
    """Each tensor's bytes follow the one before, and are as many as its shape needs."""
    position = 0
    for name in sorted(ranges, key=lambda name: ranges[name]):
        dtype, shape = tensors[name]
        if dtype not in BITS or any(part < 0 for part in shape):
            raise _broken(path, f"the tensor {name[:80]} has a shape or type that is none")
        needed = (math.prod(shape) * BITS[dtype] + 7) // 8
        if ranges[name] != (position, position + needed):
            raise _broken(path, f"the tensor {name[:80]} does not fit its place")
        position += needed


def _broken(path: Path, reason: str) -> UserError:
    return UserError(
        "model.broken_weights",
        "The weights file {file} is damaged: {reason}; copy or download it again.",
        file=path.name,
        reason=reason,
    )

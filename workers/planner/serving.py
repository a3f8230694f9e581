"""Memory of serving: weights at their bit width, and the blocked key-value cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from workers.planner.memory import CUDA_FIXED
from workers.planner.shape import ModelShape

CPU_ENGINE = 350e6
"""Resident memory of the embedded engine before any weights."""
WEIGHT_BYTES = {16: 2.0, 8: 1.0, 4: 0.5}
"""Bytes per weight of a linear layer, without the scales."""
SCALE_BYTES = {16: 0.0, 8: 0.0625, 4: 0.03125}
"""Scales: 16 bit for 32 weights (q8_0), 16 bit for 64 or two of them for 128 (AWQ, q4)."""


@dataclass(frozen=True)
class ServingPlan:
    """`context` tokens for each of `batch` requests at once; `kv_bits` 16, 8 or 4."""

    weight_bits: Literal[16, 8, 4] = 16
    kv_bits: Literal[16, 8, 4] = 16
    context: int = 2048
    batch: int = 8
    device: Literal["cpu", "cuda"] = "cuda"
    devices: int = 1


@dataclass(frozen=True)
class ServingMemory:
    """Bytes on one device."""

    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def kv_bytes(shape: ModelShape, tokens: int, bits: int = 16) -> float:
    """2 (keys and values) · layers · KV heads · head size · tokens · bytes (S10.7)."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * tokens * bits / 8


def served_weight_bytes(shape: ModelShape, bits: int, *, scales: bool = True) -> float:
    """Linear layers of the blocks at `bits`; embeddings and norms stay at 16 bit when the rest is at 4."""
    each = WEIGHT_BYTES[bits] + (SCALE_BYTES[bits] if scales else 0.0)
    rest = shape.embedding_weights + shape.norm_weights
    return each * shape.block_weights + (2.0 if bits != 8 else each) * rest


def nominal_weight_bytes(shape: ModelShape, bits: int) -> float:
    """Every weight at `bits`, as tables count it (7B: 14 GB, W4 3.5 GB)."""
    return shape.parameters * bits / 8


def predict_serving(shape: ModelShape, plan: ServingPlan) -> ServingMemory:
    cache = kv_bytes(shape, plan.context * plan.batch, plan.kv_bits)
    step = 2.0 * min(plan.context, 2048) * (shape.intermediate + 4 * shape.hidden) + 4.0 * plan.batch * shape.vocabulary
    return ServingMemory(
        {
            "weights": served_weight_bytes(shape, plan.weight_bits) / plan.devices,
            "kv_cache": cache / plan.devices,
            "workspace": step,
            "fixed": CUDA_FIXED if plan.device == "cuda" else CPU_ENGINE,
        }
    )


def requests_at_once(shape: ModelShape, plan: ServingPlan, capacity: float) -> int:
    """How many requests of `plan.context` tokens fit into `capacity` bytes on each device."""
    without = predict_serving(shape, ServingPlan(**{**vars(plan), "batch": 1}))
    one = kv_bytes(shape, plan.context, plan.kv_bits) / plan.devices
    left = capacity - (without.total - one)
    return max(0, int(left // one))

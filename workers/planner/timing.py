"""Time of training: products at the measured (or printed) speed, everything else at the speed of the memory.

seconds per token = products / (speed · efficiency) + bytes / bandwidth. Products follow Kaplan et al. 2020 (6 N per token for
all weights, 4 N when the base is frozen, 2 N more when activations are computed again) and 6 · layers · width · length / 2
for causal attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from workers.planner.cards import Device
from workers.planner.memory import layer_bytes
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

CARD_EFFICIENCY = 0.45
"""Share of the printed peak that a well-kept training loop reaches on a card (anchors: 184–193 of 312 TFLOP/s on an A100)."""
CARD_BANDWIDTH = 0.7
PRODUCT_EFFICIENCY = {"float32": 0.8, "bfloat16": 0.33}
"""Share of the calibrated speed that a model's layers reach on a processor. This and the next three were fitted to the steady
speed of 16 runs on one core (benchmarks/bench_planner.py --times)."""
CPU_ATTENTION = {"float32": 0.66, "bfloat16": 0.15}
"""The same of attention."""
CPU_TRAFFIC = 24.0
"""Times that a kept byte moves on a processor, at the speed of a plain copy: with what comes and goes beside it, in new pages."""
CPU_LOSS_TRAFFIC = 128.0
"""Bytes that move for each token and entry of the vocabulary."""
TRAFFIC = 3.0
"""Times that a kept byte moves on a card: written, read back, and as much again for what is not kept."""


@dataclass(frozen=True)
class Speed:
    """GFLOP/s of matrix products in 32 and 16 bit, and GB/s of the memory, at the threads that a job gets.

    `scale`: measured over predicted tokens/s of earlier runs, 1 when there are none.
    """

    float32: float
    bfloat16: float
    bandwidth: float
    measured: bool = False
    scale: float = 1.0

    @classmethod
    def of_card(cls, card: Device) -> "Speed":
        products = 1000 * card.tflops * CARD_EFFICIENCY
        half, single = products / PRODUCT_EFFICIENCY["bfloat16"], products / 2 / PRODUCT_EFFICIENCY["float32"]
        return cls(single, half, card.bandwidth * CARD_BANDWIDTH)


TYPICAL = Speed(float32=75.0, bfloat16=75.0, bandwidth=10.0)
"""One core of a current server without a measurement."""


def products_per_token(shape: ModelShape, plan: TrainingPlan) -> float:
    """Floating-point operations of one trained token, forward and backward."""
    return _matrix_products(shape, plan) + attention_products(shape, plan)


def attention_products(shape: ModelShape, plan: TrainingPlan) -> float:
    forward_and_back = 6.0 * shape.layers * shape.query_width * min(plan.sequence, plan.tokens * plan.together)
    return forward_and_back * (4 / 3 if plan.checkpointing else 1)


def _matrix_products(shape: ModelShape, plan: TrainingPlan) -> float:
    head = shape.vocabulary * shape.hidden
    if plan.method == "full":
        total = 6.0 * (shape.block_weights + head)
    else:
        total = 4.0 * (shape.block_weights + head) + 6.0 * shape.adapter_weights(plan.rank)
    if plan.checkpointing:
        total += 2.0 * shape.block_weights
    return total


@dataclass(frozen=True)
class Duration:
    """`seconds` for all tokens on all devices together; `parts` of them by what they are spent on."""

    tokens_per_second: float
    seconds: float
    tflops: float
    parts: Mapping[str, float]


def predict_time(shape: ModelShape, plan: TrainingPlan, speed: Speed, tokens: float) -> Duration:
    """`tokens`: to be trained in all (epochs counted)."""
    rate = 1e9 * getattr(speed, plan.precision) * PRODUCT_EFFICIENCY[plan.precision]
    kept = shape.layers * layer_bytes(shape, plan)
    if plan.device == "cpu":
        slow = 1e9 * getattr(speed, plan.precision) * CPU_ATTENTION[plan.precision]
        moved = CPU_TRAFFIC * kept + CPU_LOSS_TRAFFIC * shape.vocabulary
    else:
        slow, moved = rate, TRAFFIC * kept + _weight_traffic(shape, plan)
    each = {
        "products": _matrix_products(shape, plan) / rate,
        "attention": attention_products(shape, plan) / slow,
        "moving": moved / (speed.bandwidth * 1e9),
    }
    at_once = speed.scale * (plan.devices if plan.device == "cuda" else 1)  # processes on one host share its processor
    per_second = at_once / sum(each.values())
    parts = {name: seconds * tokens / at_once for name, seconds in each.items()}
    return Duration(per_second, tokens / per_second, products_per_token(shape, plan) * per_second / 1e12, parts)


def _weight_traffic(shape: ModelShape, plan: TrainingPlan) -> float:
    """Weights read twice a pass; gradients and moments read and written once a step. Bytes per token."""
    trained = shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.parameters
    pass_bytes = 2 * 4.0 * shape.parameters if not plan.trains_adapter else 2 * 2.0 * shape.parameters
    if plan.method == "qlora":
        pass_bytes *= 2  # unpacked once more on the way
    return pass_bytes / plan.tokens + 28.0 * trained / (plan.tokens * plan.passes)

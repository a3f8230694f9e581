"""Time of training: products at the measured (or printed) speed, everything else at the speed of the memory.

seconds per token = products / (speed · efficiency) + bytes / bandwidth. Products follow Kaplan et al. 2020 (6 N per token for
all weights, 4 N when the base is frozen, 2 N more when activations are computed again) and 6 · layers · width · length / 2
for causal attention.
"""

from dataclasses import dataclass

from workers.planner.cards import Device
from workers.planner.memory import layer_bytes
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

CARD_EFFICIENCY = 0.45
"""Share of the printed peak that a well-kept training loop reaches on a card (anchors: 184–193 of 312 TFLOP/s on an A100)."""
CARD_BANDWIDTH = 0.7
PRODUCT_EFFICIENCY = 0.62
"""Share of the calibrated speed: a model's matrices are narrower than the calibration's."""
TRAFFIC = 3.0
"""Times that a kept byte moves: written, read back, and as much again for what is not kept."""


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
        products = 1000 * card.tflops * CARD_EFFICIENCY / PRODUCT_EFFICIENCY
        return cls(products / 2, products, card.bandwidth * CARD_BANDWIDTH)


TYPICAL = Speed(float32=75.0, bfloat16=75.0, bandwidth=10.0)
"""One core of a current server without a measurement."""


def products_per_token(shape: ModelShape, plan: TrainingPlan) -> float:
    """Floating-point operations of one trained token, forward and backward."""
    head = shape.vocabulary * shape.hidden
    attention = 6.0 * shape.layers * shape.query_width * min(plan.sequence, plan.tokens)
    if plan.method == "full":
        total = 6.0 * (shape.block_weights + head) + attention
    else:
        total = 4.0 * (shape.block_weights + head) + 6.0 * shape.adapter_weights(plan.rank) + attention
    if plan.checkpointing:
        total += 2.0 * shape.block_weights + attention / 3
    return total


@dataclass(frozen=True)
class Duration:
    """`seconds` for all tokens on all devices together."""

    tokens_per_second: float
    seconds: float
    tflops: float


def predict_time(shape: ModelShape, plan: TrainingPlan, speed: Speed, tokens: float) -> Duration:
    """`tokens`: to be trained in all (epochs counted)."""
    products = products_per_token(shape, plan)
    rate = speed.bfloat16 if plan.precision == "bfloat16" else speed.float32
    moved = TRAFFIC * shape.layers * layer_bytes(shape, plan) + _weight_traffic(shape, plan)
    each = products / (rate * 1e9 * PRODUCT_EFFICIENCY) + moved / (speed.bandwidth * 1e9)
    per_second = plan.devices * speed.scale / each
    return Duration(per_second, tokens / per_second, products * per_second / 1e12)


def _weight_traffic(shape: ModelShape, plan: TrainingPlan) -> float:
    """Weights read twice a pass; gradients and moments read and written once a step. Bytes per token."""
    trained = shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.parameters
    pass_bytes = 2 * 4.0 * shape.parameters if not plan.trains_adapter else 2 * 2.0 * shape.parameters
    if plan.method == "qlora":
        pass_bytes *= 2  # unpacked once more on the way
    return pass_bytes / plan.tokens + 28.0 * trained / (plan.tokens * plan.passes)

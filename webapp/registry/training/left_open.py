"""What the trainer chooses on the device itself when the form leaves it open: the size of a pass, computing activations again,
keeping them in the host's memory. The same rules as in `workers.train.recipe`, which the web does not load.
"""

import math
from dataclasses import dataclass, replace

from workers.planner.cards import Device
from workers.planner.memory import trained_weights
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

LONGEST_PASS = {"cpu": 2048, "cuda": 65_536}
"""Tokens that the trainer takes at once at most when it is left to choose."""
SHORTEST_PASS = 64
MOST_GRADIENTS = 128 << 20


@dataclass(frozen=True)
class LeftOpen:
    """`per_step`: tokens that devices which share passes learn in a step, where the size of a pass is left open; else 0."""

    per_step: int = 0
    recompute: bool = False
    offload: bool = False

    def chosen(self, plan: TrainingPlan, device: Device, shape: ModelShape) -> TrainingPlan:
        """The plan as the trainer will do it there; `plan.device` is that of `device`."""
        own = stretch(plan.sequence, plan.together)
        each = activation_bytes(shape)
        if self.per_step:
            limit = open_limit(self.per_step, plan.device, int(device.usable / 3 / each))
            tokens = pass_tokens(self.per_step, plan.sequence, limit * plan.together)
            plan = replace(plan, tokens=stretch(tokens, plan.together), passes=max(1, round(self.per_step / tokens)))
        if self.recompute and own * each > device.usable / 2:
            plan = replace(plan, checkpointing=True)
        if self.offload and plan.device == "cuda" and own * 4 * shape.layers * shape.hidden > device.usable / 2:
            plan = replace(plan, offload=True)
        return plan


def passes_at_once(plan: TrainingPlan, shape: ModelShape, threads: int) -> int:
    """Products in 16 bits of one process run as two passes at once where that pays (workers.train.side_by_side)."""
    alone = plan.device == "cpu" and plan.devices == 1 and plan.precision == "bfloat16" and not plan.dropout
    return 2 if alone and threads >= 2 and 4 * trained_weights(shape, plan) <= MOST_GRADIENTS else 1


def activation_bytes(shape: ModelShape) -> int:
    """Bytes that the trainer reckons with for one token when it makes these choices."""
    return shape.layers * (40 * shape.hidden + 24 * shape.intermediate)


def open_limit(per_step: int, device: str, fits: int) -> int:
    """Tokens of a pass: the step in even parts with a quarter to spare, and no more than `fits`."""
    part = per_step / math.ceil(per_step / LONGEST_PASS[device])
    return max(SHORTEST_PASS, min(fits, math.ceil(1.25 * part)))


def pass_tokens(per_step: int, longest: int, limit: int) -> int:
    """The fullest pass of a step: steps end with whole examples, and a longer example stands alone."""
    return max(longest, min(limit, per_step + longest // 2))


def stretch(tokens: int, together: int) -> int:
    """What one of the devices that share a pass has of it."""
    return -(-tokens // together)

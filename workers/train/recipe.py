"""The numbers of a training loop, and how each is chosen when the spec leaves it open.

Learning rates follow one line through the sizes people report: 1e-3 at 1 M parameters, 3e-5 at 7 B; LoRA ten times that.
"""

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from workers.planner.host import host_memory
from workers.spec.train import Optimisation
from workers.train.network import Precision

SMALL_MODEL = 2_000_000
"""Parameters below which bf16 never pays: the casts cost more than the products."""
FULL_BELOW = 50_000_000
"""Parameters below which zero-knob fine-tuning trains every weight."""

BLOCK_INPUT_BYTES = 4
"""Of one number of a block's input, which is all that is kept where activations are computed again."""


@dataclass(frozen=True)
class Recipe:
    """Everything that the loop needs; stored in checkpoints, so that a resumed run goes on with the same numbers."""

    total_steps: int
    tokens_per_step: int
    micro_batch_tokens: int
    learning_rate: float
    warmup_fraction: float
    schedule: str
    weight_decay: float
    clip_norm: float
    time_budget_seconds: float | None
    seed: int
    optimizer: str = "adamw"
    offload_optimizer: bool = False

    def rate(self, step: int) -> float:
        """Learning rate of `step` (0, 1, …): linear warm-up, then the schedule down to zero."""
        warm = max(1, round(self.warmup_fraction * self.total_steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.schedule == "constant":
            return self.learning_rate
        left = 1 - (step - warm) / max(1, self.total_steps - warm)
        shape = left if self.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
        return self.learning_rate * shape

    def shortened(self, total_steps: int) -> "Recipe":
        return replace(self, total_steps=total_steps)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def make_recipe(
    given: Optimisation,
    *,
    total_steps: int,
    tokens_per_step: int,
    learning_rate: float,
    core: torch.nn.Module,
    device: torch.device,
    time_budget_seconds: float | None,
    seed: int,
    passes: int = 1,
) -> Recipe:
    """The rest of the numbers. `passes`: sequences that are learnt at once for each unit (2 for a pair of answers)."""
    return Recipe(
        total_steps=total_steps,
        tokens_per_step=tokens_per_step,
        micro_batch_tokens=given.micro_batch_tokens or choose_micro_batch(core, tokens_per_step, device) // passes,
        learning_rate=learning_rate,
        warmup_fraction=given.warmup_fraction,
        schedule=given.schedule,
        weight_decay=given.weight_decay,
        clip_norm=given.clip_norm,
        time_budget_seconds=time_budget_seconds,
        seed=seed,
        optimizer=given.optimizer,
        offload_optimizer=given.offload_optimizer == "on",
    )


def choose_learning_rate(given: Optimisation, parameters: int, method: str) -> float:
    if given.learning_rate is not None:
        return given.learning_rate
    full = 1e-3 * (max(parameters, 1_000_000) / 1e6) ** -0.4
    return float(f"{min(3e-3, 10 * full) if method in ('lora', 'qlora') else full:.2g}")


def choose_tokens_per_step(given: Optimisation, total_tokens: int, mean_length: float, examples: int) -> int:
    """About `examples` examples a step, but at least 16 steps an epoch of a small dataset."""
    if given.tokens_per_step is not None:
        return given.tokens_per_step
    wanted = min(mean_length * examples, total_tokens / 16)
    return int(min(max(wanted, 64), 16_384))


def choose_epochs(examples: int) -> float:
    """Few examples are seen often and many once: about 36,000 in all, at least 1 and at most 10 times each."""
    return float(min(10, max(1, round(36_000 / max(examples, 1)))))


def choose_micro_batch(model: torch.nn.Module, tokens_per_step: int, device: torch.device) -> int:
    """Tokens of one forward pass: what a third of the free memory holds, and on a CPU no more than its caches like.

    A step is cut into even parts, with a quarter to spare, because a small rest costs as much as a part.
    """
    fits = int(free_memory(device) / 3 / activation_bytes(model))
    limit = 2048 if device.type == "cpu" else 65_536
    part = tokens_per_step / math.ceil(tokens_per_step / limit)
    return max(64, min(fits, math.ceil(1.25 * part)))


def must_recompute(model: torch.nn.Module, longest: int, device: torch.device) -> bool:
    """Whether the activations of the longest document would take more than half of the free memory."""
    return longest * activation_bytes(model) > free_memory(device) / 2


def must_offload(model: torch.nn.Module, longest: int, device: torch.device) -> bool:
    """Whether a GPU has no room for what is left of the longest document's activations when they are computed again."""
    config = model.config.get_text_config()
    kept = longest * config.num_hidden_layers * config.hidden_size * BLOCK_INPUT_BYTES
    return device.type == "cuda" and kept > free_memory(device) / 2


def activation_bytes(model: torch.nn.Module) -> int:
    """Bytes that one token keeps for the backward pass: the blocks of a Llama in f32, with some to spare."""
    config = model.config.get_text_config()
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(config.num_hidden_layers * (40 * config.hidden_size + 24 * wide))


def free_memory(device: torch.device) -> int:
    """Bytes that a run may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(host_memory()[1])


def choose_precision(given: str, parameters: int, hidden_size: int, device: torch.device) -> Precision:
    """bf16 products only where this machine does them at least 1.5 times as fast as f32 ones: tried, not guessed."""
    if given != "auto":
        return "bfloat16" if given == "bfloat16" else "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if parameters < SMALL_MODEL:
        return "float32"
    return "bfloat16" if _bfloat16_gain(hidden_size) >= 1.5 else "float32"


def _bfloat16_gain(hidden_size: int) -> float:
    """Time of f32 products over time of bf16 products with their casts, at the shape of a model's layers."""
    left, right = torch.randn(1024, hidden_size), torch.randn(hidden_size, 3 * hidden_size)
    fast_right = right.to(torch.bfloat16)

    def best(multiply: Any) -> float:
        multiply()
        times = []
        for _ in range(5):
            began = time.perf_counter()
            multiply()
            times.append(time.perf_counter() - began)
        return min(times)

    return best(lambda: left @ right) / best(lambda: left.to(torch.bfloat16) @ fast_right)

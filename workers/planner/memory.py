"""Peak memory of a training run, part by part.

Model states follow Rajbhandari et al. 2020 (ZeRO), nf4 Dettmers et al. 2023 (QLoRA). What a step holds beside them is written
down from the trainer's operations: for processors in `workers.planner.processor`, for cards here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.planner import processor
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "workspace", "fixed")
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A 4-bit number, an 8-bit scale for 64 of them, a 32-bit scale for 256 scales (double quantisation)."""
CPU_FIXED = 420e6
"""Python, torch, transformers, the trainer and what a first product loads, before any model (measured)."""
ADAPTERS_FIXED = 63e6
"""The libraries of adapters, 4-bit weights and 8-bit optimisers (measured)."""
LAUNCHER_FIXED = 300e6
"""What starts and watches several processes (torchrun)."""
CUDA_FIXED = 0.55e9
"""CUDA context and the work space of cuBLAS."""
WHOLE_LOGITS = 14.5
"""Bytes per token and entry of the vocabulary of a loss that keeps all logits: measured on plain transformers."""
OPTIMIZER_BYTES = {"adamw": 8.0, "adamw_8bit": 2.05, "adafactor": 0.05}
"""Two moments of AdamW in 32 or 8 bit; Adafactor keeps sums of rows and columns."""
CUDA_FRAGMENTS = 0.06
"""Share of what comes and goes that the allocator of a card cannot use again."""
CPU_HEAP = {"float32": 0.2, "bfloat16": 0.1}
"""On a CPU: what the system's allocator keeps of what comes and goes in a pass, as a share of the most that is held at once. The
only constants that are fitted (to the configurations of benchmarks/bench_planner.py)."""
SMALL_PAGES_HEAP = 0.45
"""The same where the system has no large pages, which lie apart from small things: with it 24 configurations that were measured
before the trainer asked for large pages are told 17 % too small at most."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device by part. `peak_at`: when the most is held (step, load or save)."""

    parts: Mapping[str, float]
    peak_at: str = "step"
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def predict_memory(shape: ModelShape, plan: TrainingPlan) -> Memory:
    """The fullest moment of a run: a training step, or on a CPU also loading and saving."""
    if plan.device == "cuda":
        return Memory(_card_step(shape, plan))
    moments = {"step": _processor_step(shape, plan), "load": _load(shape, plan), "save": _save(shape, plan)}
    if plan.devices > 1:
        moments = {name: _of_all(parts, plan.devices) for name, parts in moments.items()}
    fullest = max(moments, key=lambda name: sum(moments[name].values()))
    totals = {name: sum(parts.values()) for name, parts in moments.items()}
    return Memory(moments[fullest], fullest, totals)


def _of_all(parts: Mapping[str, float], processes: int) -> dict[str, float]:
    """Processes on one host share its memory, with the program that started them."""
    found = {name: size * processes for name, size in parts.items()}
    return {**found, "fixed": found["fixed"] + LAUNCHER_FIXED}


def _states(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """Weights, gradients and optimiser state on one device."""
    shared = _shards(plan)
    weights, inside = weight_bytes(shape, plan), block_bytes(shape, plan)
    trained = trained_weights(shape, plan)
    trained_inside = shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.block_weights
    return {
        "weights": _part(weights, inside, shared["weights"]),
        "gradients": 4.0 * _part(trained, trained_inside, shared["gradients"]),
        "optimizer": optimizer_bytes(plan) * _part(trained, trained_inside, shared["optimizer"]),
    }


def _card_step(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    parts = {
        **_states(shape, plan),
        "activations": activation_bytes(shape, plan) + _autocast_copies(shape, plan),
        "logits": logit_bytes(shape, plan),
        "workspace": workspace_bytes(shape, plan),
        "fixed": CUDA_FIXED,
    }
    parts["workspace"] += CUDA_FRAGMENTS * (parts["activations"] + parts["logits"] + parts["workspace"])
    return parts


def _processor_step(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """The work space is what the fullest moment holds beyond the parts, and what the allocator keeps of it.

    Gradients come on top of it: they grow while activations are freed, but those lie in blocks of other sizes.
    """
    kept, logits = processor.kept_bytes(shape, plan), processor.loss_bytes(shape, plan)
    share = CPU_HEAP[plan.precision] if plan.large_pages else SMALL_PAGES_HEAP
    held = max(processor.moments(shape, plan).values()) * (1 + share)
    return {
        **_states(shape, plan),
        "activations": kept,
        "logits": logits,
        "workspace": max(0.0, held - kept - logits) + _left_by_loading(shape, plan),
        "fixed": fixed_bytes(plan),
    }


def _left_by_loading(shape: ModelShape, plan: TrainingPlan) -> float:
    """Weights are made 4 bits one after another; the small ones lie between the old rooms, which stay the program's."""
    return float(plan.stored_bytes * shape.block_weights) if plan.method == "qlora" else 0.0


def trained_weights(shape: ModelShape, plan: TrainingPlan) -> int:
    return shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.parameters


def weight_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """The model as the trainer holds it, its references, and the adapter in 32 bit."""
    rest = shape.embedding_weights + shape.norm_weights
    return block_bytes(shape, plan) + (1 + plan.references) * (4.0 if plan.method == "full" else _half(plan)) * rest


def block_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """What of the weights lies in the blocks, which are all that is shared out."""
    each = {"full": 4.0, "lora": _half(plan), "qlora": NF4_BYTES}[plan.method]
    adapter = 4.0 * shape.adapter_weights(plan.rank) if plan.trains_adapter else 0.0
    return each * shape.block_weights * (1 + plan.references) + adapter


def _half(plan: TrainingPlan) -> float:
    """Bytes of a frozen weight."""
    return 2.0 if plan.precision == "bfloat16" else 4.0


def optimizer_bytes(plan: TrainingPlan) -> float:
    """Bytes per trained weight; paged states count as lying in the host's memory."""
    if plan.paged and plan.device == "cuda":
        return 0.0
    return OPTIMIZER_BYTES[plan.optimizer]


def _shards(plan: TrainingPlan) -> dict[str, int]:
    """ZeRO: stage 1 shares the optimiser's states, stage 2 the gradients as well, stage 3 (FSDP) the weights too."""
    stage = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}[plan.sharding]
    n = plan.group or plan.devices
    return {"optimizer": n if stage >= 1 else 1, "gradients": n if stage >= 2 else 1, "weights": n if stage >= 3 else 1}


def _part(total: float, inside: float, devices: int) -> float:
    """One device's share: the blocks are divided, embeddings and output layer are whole on each (workers.train.team)."""
    return total - inside + inside / devices


def layer_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """Bytes that one token keeps in one block for the backward pass."""
    if plan.device == "cpu":
        return processor.layer_bytes(shape, plan)
    h, q, kv, f = shape.hidden, shape.query_width, shape.kv_width, shape.intermediate
    size = processor.product_size(plan)
    attention = size * (2 * q + 2 * kv) + 4 * shape.heads
    feed_forward = (shape.matrices + 1) * size * f
    if plan.trains_adapter:
        # Two norms in 32 bit, the inputs of the adapted layers, and what lies between an adapter's two matrices.
        rest: float = 8 * h + 2 * size * h + size * q + len(shape.linear_widths) * size * plan.rank
        if plan.dropout:
            # A mask and the masked input of every adapted layer.
            rest += (1 + size) * sum(inputs for inputs, _ in shape.linear_widths)
    else:
        # 32-bit norms with their normalised inputs; under autocast every linear layer keeps a 16-bit input of its own.
        rest = 28 * h
    return attention + feed_forward + rest + _eager(shape, plan)


def _eager(shape: ModelShape, plan: TrainingPlan) -> float:
    """Attention without a fused kernel keeps the probabilities of every token to every other."""
    return 2.0 * shape.heads * plan.sequence if plan.attention == "eager" else 0.0


def activation_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """With checkpointing: the input of every block, and one block in full while it is computed again.

    What waits in the host's memory comes back for one operation at a time; reckoned with is one block.
    """
    one = layer_bytes(shape, plan)
    if plan.offload:
        return plan.tokens * (one + 12 * shape.hidden)
    if not plan.checkpointing:
        return plan.tokens * (shape.layers * one + 12 * shape.hidden)
    stream = 2 if plan.precision == "bfloat16" and plan.trains_adapter else 4
    return plan.tokens * (1.15 * stream * shape.layers * shape.hidden + one + 12 * shape.hidden)


def _autocast_copies(shape: ModelShape, plan: TrainingPlan) -> float:
    """16-bit copies of 32-bit weights, made once a pass and kept until its end."""
    if plan.precision == "bfloat16" and plan.method == "full":
        per_block = 2.0 * shape.block_weights
        return per_block / shape.layers if plan.checkpointing or plan.offload else per_block
    return 0.0


def logit_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    if plan.loss == "whole":
        return WHOLE_LOGITS * plan.tokens * shape.vocabulary
    rows = min(plan.tokens, max(16, processor.CHUNK_BYTES // (4 * shape.vocabulary)))
    chunk = (2.5 if plan.precision == "float32" else 3.0) * rows * 4 * shape.vocabulary
    return chunk + (8.0 * shape.vocabulary * shape.hidden if plan.method == "full" else 0.0)


def workspace_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """Gradients of activations in flight in one block; for nf4 also one layer's weights in 16 bit."""
    flying = plan.tokens * (3 * processor.product_size(plan) * shape.intermediate + 4 * 4 * shape.hidden)
    unpacked = 2.0 * shape.hidden * shape.intermediate if plan.method == "qlora" else 0.0
    gathered = 2 * 4.0 * shape.block_weights / shape.layers if plan.sharding == "zero3" else 0.0
    return flying + unpacked + gathered


def fixed_bytes(plan: TrainingPlan) -> float:
    return CPU_FIXED + (ADAPTERS_FIXED if plan.trains_adapter or plan.optimizer == "adamw_8bit" else 0.0)


def _load(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """Weights as they are read (the file itself, where nothing is changed) beside those that are kept, and a look at the base."""
    parts = dict.fromkeys(PARTS, 0.0)
    kept = 4 if plan.method == "full" else _half(plan)
    parts["weights"] = weight_bytes(shape, plan)
    if kept != plan.stored_bytes or plan.method == "qlora":
        parts["workspace"] = float(plan.stored_bytes * shape.parameters)
    parts["logits"] = processor.loss_bytes(shape, plan)
    parts["fixed"] = fixed_bytes(plan)
    return parts


def _save(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """A checkpoint or the result is copied once more on its way to the disk."""
    parts = dict.fromkeys(PARTS, 0.0)
    trained = trained_weights(shape, plan)
    parts["weights"] = weight_bytes(shape, plan)
    parts["optimizer"] = optimizer_bytes(plan) * trained
    parts["workspace"] = 4.0 * trained
    parts["fixed"] = fixed_bytes(plan)
    return parts

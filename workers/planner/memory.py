"""Peak memory of a training run, part by part.

Bytes kept for the backward pass were counted on the real trainer with `saved_tensors_hooks` (benchmarks/bench_planner.py
counts them again); model states follow Rajbhandari et al. 2020 (ZeRO), nf4 Dettmers et al. 2023 (QLoRA).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "workspace", "fixed")
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A 4-bit number, an 8-bit scale for 64 of them, a 32-bit scale for 256 scales (double quantisation)."""
CPU_FIXED = 365e6
"""Python, torch, transformers and the trainer itself, before any model (resident memory)."""
ADAPTER_FIXED = 60e6
"""peft and what it loads."""
NF4_FIXED = 130e6
"""The library of 4-bit weights, and what it unpacks on a CPU (resident memory)."""
CUDA_FIXED = 0.55e9
"""CUDA context and the work space of cuBLAS."""
CHUNK_BYTES = 32 << 20
"""Logits that the chunked loss makes at once (workers.train.loss)."""
WHOLE_LOGITS = 14.5
"""Bytes per token and entry of the vocabulary of a loss that keeps all logits: measured on plain transformers."""
SHORT_DOCUMENT = 384
"""On a CPU the attention of shorter documents is done, and kept, in 32 bit (workers.train.attention)."""
CUDA_FRAGMENTS = 0.06
"""Share of what comes and goes that the allocator of a card cannot use again."""
CPU_HEAP = {
    ("full", "float32"): 1.1,
    ("full", "bfloat16"): 1.6,
    ("adapter", "float32"): 2.0,
    ("adapter", "bfloat16"): 1.6,
}
"""On a CPU: resident memory over bytes kept, fitted to the configurations of benchmarks/bench_planner.py. The system's
allocator keeps what was freed in pieces, most where large and small blocks alternate (frozen layers with adapters)."""
CPU_HEAP_AGAIN = {
    ("full", "float32"): 3.0,
    ("full", "bfloat16"): 3.0,
    ("adapter", "float32"): 8.0,
    ("adapter", "bfloat16"): 4.0,
}
"""The same where activations are computed again, block by block: the bytes are few, and most of them move (same fit)."""
CPU_CHUNKS = {"full": 6.6, "lora": 9.0, "qlora": 18.0}
"""Copies of one chunk of logits that the heap ends up holding (same fit)."""
CPU_HEAD = 11.5
"""Bytes per weight of the output layer for its gradient and the copies on the way (same fit)."""


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
    step = _step(shape, plan)
    if plan.device == "cuda":
        return Memory(step)
    moments = {"step": step, "load": _load(shape, plan), "save": _save(shape, plan)}
    fullest = max(moments, key=lambda name: sum(moments[name].values()))
    totals = {name: sum(parts.values()) for name, parts in moments.items()}
    return Memory(moments[fullest], fullest, totals)


def _step(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    shared = _shards(plan)
    weights, inside = weight_bytes(shape, plan), block_bytes(shape, plan)
    trained = trained_weights(shape, plan)
    trained_inside = trained if plan.trains_adapter else shape.block_weights
    kept = activation_bytes(shape, plan)
    parts = {
        "weights": _part(weights, inside, shared["weights"]),
        "gradients": 4.0 * _part(trained, trained_inside, shared["gradients"]),
        "optimizer": optimizer_bytes(plan) * _part(trained, trained_inside, shared["optimizer"]),
        "activations": kept + (_autocast_copies(shape, plan) if plan.device == "cuda" else 0.0),
        "logits": logit_bytes(shape, plan),
        "workspace": workspace_bytes(shape, plan),
        "fixed": fixed_bytes(plan),
    }
    if plan.device == "cuda":
        moving = parts["activations"] + parts["logits"] + parts["workspace"]
        parts["workspace"] += CUDA_FRAGMENTS * moving
    return parts


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
    """Bytes per trained weight: two moments of AdamW in 32 or 8 bit; paged states count as lying in the host's memory."""
    if plan.paged and plan.device == "cuda":
        return 0.0
    return 2.05 if plan.optimizer == "adamw_8bit" else 8.0


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
    h, q, kv, f = shape.hidden, shape.query_width, shape.kv_width, shape.intermediate
    half = plan.precision == "bfloat16"
    size = 2 if half else 4
    short = plan.device == "cpu" and plan.sequence < SHORT_DOCUMENT
    attention = (4 if short or not half else 2) * (2 * q + 2 * kv) + 4 * shape.heads
    feed_forward = (shape.matrices + 1) * size * f
    if plan.trains_adapter:
        # Two norms in 32 bit, the inputs of the adapted layers, and what lies between an adapter's two matrices.
        rest: float = 8 * h + 2 * size * h + size * q + len(shape.linear_widths) * size * plan.rank
        if plan.method == "qlora" and plan.device == "cpu" and half:
            # There, layers in four bits keep 16-bit inputs of their own (counted: a fifth more than their width says).
            rest += 1.2 * size * sum(inputs for inputs, _ in shape.linear_widths)
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
    """With checkpointing: the input of every block, and one block in full while it is computed again."""
    one = layer_bytes(shape, plan)
    if not plan.checkpointing:
        return plan.tokens * (shape.layers * one + 12 * shape.hidden)
    stream = 2 if plan.precision == "bfloat16" and plan.trains_adapter else 4
    return plan.tokens * (1.15 * stream * shape.layers * shape.hidden + one + 12 * shape.hidden)


def _autocast_copies(shape: ModelShape, plan: TrainingPlan) -> float:
    """16-bit copies of 32-bit weights, made once a pass and kept until its end."""
    if plan.precision == "bfloat16" and plan.method == "full":
        per_block = 2.0 * shape.block_weights
        return per_block / shape.layers if plan.checkpointing else per_block
    return 0.0


def logit_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    if plan.loss == "whole":
        return WHOLE_LOGITS * plan.tokens * shape.vocabulary
    rows = min(plan.tokens, max(16, CHUNK_BYTES // (4 * shape.vocabulary)))
    if plan.device == "cpu":
        copies = CPU_CHUNKS[plan.method] * 4 * rows * shape.vocabulary
        return copies + (0.0 if plan.trains_adapter else CPU_HEAD * shape.vocabulary * shape.hidden)
    chunk = (2.5 if plan.precision == "float32" else 3.0) * rows * 4 * shape.vocabulary
    head = shape.vocabulary * shape.hidden
    if plan.method == "full":
        return chunk + 8.0 * head
    return chunk


def workspace_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """Gradients of activations in flight in one block; for nf4 also one layer's weights in 16 bit.

    On a CPU what the heap holds beyond the bytes in use. Of a single pass the gradients take the place of activations
    that are freed as they grow; of several they lie beside them.
    """
    if plan.device == "cpu":
        kept = activation_bytes(shape, plan)
        what = "adapter" if plan.trains_adapter else "full"
        if plan.checkpointing:
            return (CPU_HEAP_AGAIN[what, plan.precision] - 1) * kept
        spare = (CPU_HEAP[what, plan.precision] - 1) * kept
        return max(0.0, spare - (4.0 * trained_weights(shape, plan) if plan.passes == 1 else 0.0))
    size = 2 if plan.precision == "bfloat16" else 4
    flying = plan.tokens * (3 * size * shape.intermediate + 4 * 4 * shape.hidden)
    unpacked = 2.0 * shape.hidden * shape.intermediate if plan.method == "qlora" else 0.0
    gathered = 2 * 4.0 * shape.block_weights / shape.layers if plan.sharding == "zero3" else 0.0
    return flying + unpacked + gathered


def fixed_bytes(plan: TrainingPlan) -> float:
    if plan.device == "cuda":
        return CUDA_FIXED
    return CPU_FIXED + (ADAPTER_FIXED if plan.trains_adapter else 0.0) + (NF4_FIXED if plan.method == "qlora" else 0.0)


def _load(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """Weights as they are read, beside the weights as they are kept."""
    parts = dict.fromkeys(PARTS, 0.0)
    parts["weights"] = weight_bytes(shape, plan)
    parts["workspace"] = float(plan.stored_bytes * shape.parameters)
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

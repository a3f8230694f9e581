"""What a training step holds at once on a processor: bytes kept for the backward pass and what comes and goes beside them.

Written down from the trainer's own operations (workers.train.fused, attention, loss); the kept bytes agree with those that
it counts itself within 3 %. `moments` are the three places where a step can be fullest.
"""

from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

CHUNK_BYTES = 32 << 20
"""Logits that the chunked loss makes at once (workers.train.loss)."""
CACHED_BYTES = 4 << 20
FEWEST_CACHED = 256
"""On a processor a chunk is no larger than its caches, but has at least so many positions (same place)."""
LEAST_PAIRS = 48_000
ROWS = 256
"""From so many heads × tokens² on, attention in 16 bits is done by products, for so many tokens at a time (matrix_attention)."""
SHORT_DOCUMENT = 384
"""The attention of shorter documents is done, and kept, in 32 bit (workers.train.attention)."""


def layer_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """Bytes that one token keeps in one block."""
    h, q, kv = shape.hidden, shape.query_width, shape.kv_width
    size = product_size(plan)
    norms = 2 * (stream_size(plan) + size) * h
    attention: float
    if size == 4:
        attention = 12 * q + 8 * kv
    elif by_products(shape, plan):
        attention = 4 * q + 4 * kv + _kept_shares(shape, plan)
    elif (plan.typical or plan.sequence) < SHORT_DOCUMENT:
        attention = 10 * q + 8 * kv
    else:
        attention = 6 * q + 4 * kv
    feed_forward = (shape.matrices + 1) * size * shape.intermediate
    return norms + attention + 4 * shape.heads + feed_forward + _adapter_inputs(shape, plan)


def by_products(shape: ModelShape, plan: TrainingPlan) -> bool:
    """Whether a usual document is attended by matrix products in 16 bits (workers.train.matrix_attention.pays)."""
    pairs = shape.heads * (plan.typical or plan.sequence) ** 2
    return plan.precision == "bfloat16" and pairs >= LEAST_PAIRS


def _kept_shares(shape: ModelShape, plan: TrainingPlan) -> float:
    """Bytes per token of what each token attends to, kept for short documents in blocks of rows (same place)."""
    length = plan.typical or plan.sequence
    if length >= SHORT_DOCUMENT:
        return 0.0
    pairs = sum(min(ROWS, length - start) * min(length, start + ROWS) for start in range(0, length, ROWS))
    return 2.0 * shape.heads * pairs / length


def _adapter_inputs(shape: ModelShape, plan: TrainingPlan) -> float:
    """Between an adapter's two matrices; with dropout also a mask and the masked input of every adapted layer."""
    if not plan.trains_adapter:
        return 0.0
    size = product_size(plan)
    inputs = sum(width for width, _ in shape.linear_widths)
    return len(shape.linear_widths) * size * plan.rank + ((1 + size) * inputs if plan.dropout else 0)


def product_size(plan: TrainingPlan) -> int:
    """Bytes of a number that goes into a product."""
    return 2 if plan.precision == "bfloat16" else 4


def stream_size(plan: TrainingPlan) -> int:
    """Bytes of a number between the blocks: those of the embeddings."""
    return product_size(plan) if plan.trains_adapter else 4


def copies_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """16-bit copies of what is learnt in 32 bit, made once a pass and kept until its end."""
    if plan.precision == "float32":
        return 0.0
    learnt = shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.block_weights
    return 2.0 * learnt / (shape.layers if plan.checkpointing else 1)


def kept_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """With checkpointing: the input of every block, and one block in full while it is computed again."""
    one = layer_bytes(shape, plan)
    blocks = stream_size(plan) * shape.layers * shape.hidden + one if plan.checkpointing else shape.layers * one
    return plan.tokens * (blocks + stream_size(plan) * shape.hidden) + copies_bytes(shape, plan)


def moments(shape: ModelShape, plan: TrainingPlan) -> dict[str, float]:
    """Bytes beside weights, optimiser state and the gradients of one pass: at the loss, in the first block's backward pass, and
    at the update. Of several passes the sum of their gradients comes on top."""
    kept, head = kept_bytes(shape, plan), shape.vocabulary * shape.hidden
    trained = shape.adapter_weights(plan.rank) if plan.trains_adapter else shape.parameters
    earlier = 4.0 * trained if plan.passes > 1 or plan.at_once > 1 else 0.0
    size = product_size(plan)
    # Of the output layer: its gradient, and under autocast a 16-bit copy of it and the 32-bit gradient made from it.
    at_loss = 0.0 if plan.trains_adapter else 4.0 * head
    behind = 0.0 if plan.trains_adapter else (8.0 if size == 4 else 6.0) * head
    if plan.new_tokens:
        # The output layer with some rows replaced, made again for every chunk, and its gradient.
        at_loss, behind = at_loss + size * head, behind + 2 * size * head
    flying = plan.tokens * (2 * size * shape.intermediate + 12 * shape.hidden)
    return {
        "loss": kept + earlier + at_loss + loss_bytes(shape, plan),
        "backward": kept + earlier + max(behind, behind / 2 + flying),
        "update": 0.0 if plan.trains_adapter else 4.0 * head,
    }


def loss_bytes(shape: ModelShape, plan: TrainingPlan) -> float:
    """Logits of one chunk, what becomes of them, and the hidden states they are made from."""
    row = 4 * shape.vocabulary
    at_once = min(max(16, CHUNK_BYTES // row), max(FEWEST_CACHED, CACHED_BYTES // row))
    tokens = plan.tokens // plan.at_once
    rows = min(tokens, at_once)
    copies = 3.0 if tokens > at_once else 2.0
    return plan.at_once * copies * row * rows + plan.tokens * (4 + 2 * product_size(plan)) * shape.hidden

"""Attention inside each document of a packed row, for every transformers model that takes its attention as a function.

`packed(lengths)` tells the registered function where documents end; outside of it the function is plain causal attention
for one sequence (what sampling needs).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

NAME = "shuyuan_packed"
_lengths: list[int] | None = None
SPLIT_AT_MOST = 256
"""Documents attended one by one; above that (or on a GPU, where launches cost) they are padded into one batch."""


FLOAT_BELOW = 384
"""On a CPU the backward pass of bf16 attention has a fixed cost that makes f32 faster for shorter documents
(80 tokens, 5 heads of 64: 0.45 ms against 1.19 ms with the casts counted)."""
NOT_PLAIN = ("softcap", "s_aux", "position_bias")
"""Arguments that change the attention itself; a model that needs them is run padded with its own attention."""


class UnknownAttention(Exception):
    """The model asks for an attention that this function does not do."""


@contextmanager
def packed(lengths: Sequence[int]) -> Iterator[None]:
    """Within this block the one row of a batch holds documents of these lengths, one after another."""
    global _lengths  # noqa: PLW0603 - transformers passes no such argument through every architecture
    previous, _lengths = _lengths, list(lengths)
    try:
        yield
    finally:
        _lengths = previous


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """query, key, value: (1, heads, tokens, head size). Returns (1, tokens, heads, head size)."""
    if any(more.get(name) is not None for name in NOT_PLAIN):
        raise UnknownAttention
    options = {"dropout_p": dropout, "scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    if _lengths is None:
        output = _one_sequence(query, key, value, sliding_window, options)
    elif query.device.type == "cpu" and len(_lengths) <= SPLIT_AT_MOST:
        parts = zip(query.split(_lengths, 2), key.split(_lengths, 2), value.split(_lengths, 2), strict=True)
        output = torch.cat([_one_sequence(*part, sliding_window, options) for part in parts], 2)
    else:
        output = _padded(query, key, value, sliding_window, options)
    return output.transpose(1, 2), None


def _one_sequence(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None, options: dict[str, Any]
) -> torch.Tensor:
    new, seen = query.shape[2], key.shape[2]
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu") and query.requires_grad and seen < FLOAT_BELOW:
        with torch.autocast("cpu", enabled=False):
            return _one_sequence(query.float(), key.float(), value.float(), window, options)
    if window is not None and seen > window:
        rows = torch.arange(seen - new, seen, device=query.device)[:, None]
        columns = torch.arange(seen, device=query.device)[None]
        visible = (columns <= rows) & (columns > rows - window)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, **options)
    if new not in (1, seen):
        rows = torch.arange(seen - new, seen, device=query.device)[:, None]
        visible = torch.arange(seen, device=query.device)[None] <= rows
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, **options)
    return functional.scaled_dot_product_attention(query, key, value, is_causal=new > 1, **options)


def _padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    window: int | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """One batch of documents padded at their ends: causal attention never looks at what comes later."""
    assert _lengths is not None
    lengths = _lengths
    sizes = torch.tensor(lengths, device=query.device)
    longest = max(lengths)
    inside = torch.arange(longest, device=query.device)[None] < sizes[:, None]
    place = inside.flatten().nonzero().flatten()

    def spread(tensor: torch.Tensor) -> torch.Tensor:
        rows = tensor[0].transpose(0, 1)
        wide = rows.new_zeros(len(lengths) * longest, *rows.shape[1:]).index_copy(0, place, rows)
        return wide.view(len(lengths), longest, *rows.shape[1:]).transpose(1, 2)

    output = _one_sequence(spread(query), spread(key), spread(value), window, options)
    return output.transpose(1, 2).flatten(0, 1).index_select(0, place).transpose(0, 1)[None]


AttentionInterface.register(NAME, attend)

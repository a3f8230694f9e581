"""Attention inside each document of a packed row, for every transformers model that takes its attention as a function.

`packed(lengths)` tells the registered function where documents end; outside of it the function is plain causal attention
for one sequence (what sampling needs).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from workers.train import matrix_attention
from workers.train.sequence import SharedSequence

NAME = "shuyuan_packed"
SPLIT_AT_MOST = 256
"""Documents attended one by one; above that (or on a GPU, where launches cost) they are padded into one batch."""


FLOAT_BELOW = 384
"""On a CPU the backward pass of bf16 attention has a fixed cost that makes f32 faster for shorter documents
(80 tokens, 5 heads of 64: 0.45 ms against 1.19 ms with the casts counted)."""
NOT_PLAIN = ("softcap", "s_aux", "position_bias")
"""Arguments that change the attention itself; a model that needs them is run padded with its own attention."""


class _State(threading.local):
    """Of each thread, because passes may run at once; transformers passes no such arguments through every architecture."""

    lengths: list[int] | None = None
    shared: SharedSequence | None = None


_state = _State()


class UnknownAttention(Exception):
    """The model asks for an attention that this function does not do."""


@contextmanager
def packed(lengths: Sequence[int]) -> Iterator[None]:
    """Within this block the one row of a batch holds documents of these lengths, one after another; what follows is no matter."""
    previous, _state.lengths = _state.lengths, list(lengths)
    try:
        yield
    finally:
        _state.lengths = previous


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
    if _state.lengths is None:
        output = _one_sequence(query, key, value, sliding_window, options)
    elif _is_plain(query, sliding_window, dropout) and matrix_attention.pays(query.shape[1], _state.lengths, value.dtype):
        return _ByProducts.apply(query, key, value, tuple(_state.lengths), scaling), None
    elif _is_plain(query, sliding_window, dropout) and query.shape == key.shape == value.shape:
        return _OneByOne.apply(query, key, value, tuple(_state.lengths), scaling), None
    else:
        rest = query.shape[2] - sum(_state.lengths)
        lengths = [*_state.lengths, rest] if rest else _state.lengths
        if query.device.type == "cpu" and len(_state.lengths) <= SPLIT_AT_MOST:
            parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
            output = torch.cat([_one_sequence(*part, sliding_window, options) for part in parts], 2)
        else:
            output = _padded(query, key, value, lengths, sliding_window, options)
    return output.transpose(1, 2), None


def _is_plain(query: torch.Tensor, window: int | None, dropout: float) -> bool:
    """Whether every document of this row, on a processor, is attended in full."""
    assert _state.lengths is not None
    few = query.device.type == "cpu" and len(_state.lengths) <= SPLIT_AT_MOST
    return few and not dropout and (window is None or max(_state.lengths) <= window)


class _OneByOne(torch.autograd.Function):
    """Causal attention inside each document, as one operation: cutting, casting and joining are done once for all of them.

    query, key, value: (1, heads, tokens, head size); the result is (1, tokens, heads, head size), in the type of the values.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: tuple[int, ...],
        scale: float | None,
    ) -> torch.Tensor:
        given = _InTypes(query, key, value)
        result = _room_for(value, lengths)
        kept: list[torch.Tensor] = []
        for part, length in _places(lengths):
            pieces = [item[:, :, part] for item in given.of(_type_for(length, value.dtype))]
            output, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*pieces, 0.0, length > 1, scale=scale)
            result[:, part] = output.transpose(1, 2)
            kept += [output, normaliser]
        context.save_for_backward(query, key, value, *kept)
        context.lengths, context.scale = lengths, scale
        return result

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        query, key, value, *kept = context.saved_tensors
        given = _InTypes(query, key, value, gradient.transpose(1, 2))
        found = [_room_for(item, context.lengths) for item in (query, key, value)]
        for index, (part, length) in enumerate(_places(context.lengths)):
            *pieces, above = [item[:, :, part] for item in given.of(_type_for(length, value.dtype))]
            shares = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                above, *pieces, kept[2 * index], kept[2 * index + 1], 0.0, length > 1, scale=context.scale
            )
            for target, share in zip(found, shares, strict=True):
                target[:, part] = share.transpose(1, 2)
        return *(item.transpose(1, 2) for item in found), None, None


class _ByProducts(torch.autograd.Function):
    """The same by matrix products; shapes as there."""

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: tuple[int, ...],
        scale: float | None,
    ) -> torch.Tensor:
        context.scale = query.shape[3] ** -0.5 if scale is None else scale
        context.lengths, context.given = lengths, [(item.dtype, item.shape[1]) for item in (query, key, value)]
        result = _room_for(query, lengths, value.dtype)
        kept: list[torch.Tensor] = []
        context.ends = []
        for part, _ in _places(lengths):
            output, needed = matrix_attention.forward([item[0, :, part] for item in (query, key, value)], context.scale)
            result[0, part] = output.transpose(0, 1)
            kept += needed
            context.ends.append(len(kept))
        context.save_for_backward(*kept)
        return result

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        kept, start = context.saved_tensors, 0
        above = gradient.transpose(1, 2)
        found = [_room_for(above[:, :heads], context.lengths, dtype) for dtype, heads in context.given]
        for (part, _), end in zip(_places(context.lengths), context.ends, strict=True):
            shares = matrix_attention.backward(gradient[0, part].transpose(0, 1), kept[start:end], context.scale)
            start = end
            for target, share in zip(found, shares, strict=True):
                target[0, part] = share.transpose(0, 1)
        return *(item.transpose(1, 2) for item in found), None, None


class _InTypes:
    """The same tensors in the types that are asked for, cast once."""

    def __init__(self, *given: torch.Tensor) -> None:
        self._given = given
        self._made: dict[torch.dtype, list[torch.Tensor]] = {}

    def of(self, dtype: torch.dtype) -> list[torch.Tensor]:
        if dtype not in self._made:
            self._made[dtype] = [item.to(dtype) for item in self._given]
        return self._made[dtype]


def _room_for(tensor: torch.Tensor, lengths: tuple[int, ...], dtype: torch.dtype | None = None) -> torch.Tensor:
    """Memory for a tensor of this shape, heads after tokens; zeros where no document lies."""
    room = torch.empty_like(tensor.transpose(1, 2), dtype=dtype, memory_format=torch.contiguous_format)
    room[:, sum(lengths) :] = 0
    return room


def _type_for(length: int, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if length < FLOAT_BELOW else dtype


def _places(lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    start = 0
    for length in lengths:
        yield slice(start, start + length), length
        start += length


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
    lengths: list[int],
    window: int | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """One batch of documents padded at their ends: causal attention never looks at what comes later."""
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


# One row over several processes


@contextmanager
def together(shared: SharedSequence | None) -> Iterator[None]:
    """Within this block the row is this process's stretch of one, of which other processes have the rest."""
    previous, _state.shared = _state.shared, shared
    try:
        yield
    finally:
        _state.shared = previous


def attend_together(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *more: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """As `attend`; where other processes have the rest of the row, over all of its tokens for some of the heads."""
    if _state.shared is None:
        return attend(module, query, key, value, *more, **options)
    output, _ = attend(module, *_state.shared.to_heads(query, key, value), *more, **options)
    return _state.shared.to_tokens(output.transpose(1, 2)).transpose(1, 2), None


AttentionInterface.register(NAME, attend_together)

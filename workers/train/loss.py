"""Cross-entropy of the supervised positions only, in chunks: the logits of a whole step never exist at once."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 32 << 20
"""Logits (f32) that may exist at once."""
CACHED_BYTES = 4 << 20
"""On a CPU no more than its caches hold (with 4096 tokens that halves the time of the loss) …"""
FEWEST_CACHED = 256
"""… but not fewer positions than this: the output layer is read again for each chunk."""

EVEN = 32
"""Rows are made a multiple of this where products in 16 bits get a kernel for each size."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of −log softmax(hidden · weightᵀ)[target]; gradients are made chunk by chunk in the forward pass.

    With p = softmax(logits), d loss / d logits = p − onehot(target).
    """

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, rows: int
    ) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        wants_hidden, wants_weight = context.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        # Lies the other way round, so that it is the small side of the product (hidden states) that is turned.
        grad_weight = torch.zeros_like(weight.T, memory_format=torch.contiguous_format) if wants_weight else None
        for part, target, place in _chunks(hidden, targets, rows):
            count = len(target)
            shares = torch.log_softmax((part @ weight.T)[:count], 1, dtype=torch.float32)
            total -= shares.gather(1, target[:, None]).sum()
            if not (wants_hidden or wants_weight):
                continue
            gradient = shares.exp_()
            gradient[torch.arange(count, device=target.device), target] -= 1
            gradient = functional.pad(gradient.to(weight.dtype), (0, 0, 0, len(part) - count))
            if grad_hidden is not None:
                grad_hidden[place] = (gradient @ weight)[:count]
            if grad_weight is not None:
                grad_weight.addmm_(part.T.contiguous(), gradient)
        context.save_for_backward(grad_hidden, None if grad_weight is None else grad_weight.T)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        grad_hidden, grad_weight = context.saved_tensors
        scaled = [None if grad is None else grad * gradient for grad in (grad_hidden, grad_weight)]
        return scaled[0], scaled[1], None, None


def summed_loss(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over positions of the loss of predicting `targets` (n) from `hidden` (n, size) with the output layer `head`."""
    rows = _rows_at_once(head, hidden.device)
    if type(head) is torch.nn.Linear and head.bias is None:
        dtype = torch.get_autocast_dtype(hidden.device.type)
        mixed = torch.is_autocast_enabled(hidden.device.type)
        weight = head.weight.to(dtype) if mixed else head.weight
        with torch.autocast(hidden.device.type, enabled=False):
            return _LinearCrossEntropy.apply(hidden.to(weight.dtype), weight, targets, rows)
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(targets), rows):
        pieces = (head, hidden[start : start + rows], targets[start : start + rows])
        total = total + checkpoint(_head_loss, *pieces, use_reentrant=False)
    return total


class _EachLinearCrossEntropy(torch.autograd.Function):
    """−log softmax(hidden · weightᵀ)[target] of every position; logits are made again, chunk by chunk, in the backward pass."""

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, rows: int
    ) -> torch.Tensor:
        normalisers, losses = [], []
        for start in range(0, len(targets), rows):
            logits = (hidden[start : start + rows] @ weight.T).float()
            normalisers.append(logits.logsumexp(1))
            losses.append(normalisers[-1] - logits.gather(1, targets[start : start + rows, None]).squeeze(1))
        context.rows = rows
        context.save_for_backward(hidden, weight, targets, torch.cat(normalisers))
        return torch.cat(losses)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        hidden, weight, targets, normalisers = context.saved_tensors
        wants_hidden, wants_weight = context.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        for start in range(0, len(targets), context.rows):
            chunk = slice(start, start + context.rows)
            part, target = hidden[chunk], targets[chunk]
            share = (part @ weight.T).float().sub_(normalisers[chunk, None]).exp_()
            share[torch.arange(len(target), device=target.device), target] -= 1
            share = share.mul_(gradient[chunk, None]).to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[chunk] = share @ weight
            if grad_weight is not None:
                grad_weight.addmm_(share.T, part)
        return grad_hidden, grad_weight, None, None


def position_losses(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of every position (n), with gradients: what losses over whole answers are made of."""
    rows = _rows_at_once(head, hidden.device)
    if type(head) is torch.nn.Linear and head.bias is None:
        dtype = torch.get_autocast_dtype(hidden.device.type)
        mixed = torch.is_autocast_enabled(hidden.device.type)
        weight = head.weight.to(dtype) if mixed else head.weight
        with torch.autocast(hidden.device.type, enabled=False):
            return _EachLinearCrossEntropy.apply(hidden.to(weight.dtype), weight, targets, rows)
    pieces = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([checkpoint(_head_losses, head, part, target, use_reentrant=False) for part, target in pieces])


def each_loss(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of every position (n), without gradients."""
    rows = _rows_at_once(head, hidden.device)
    parts = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([functional.cross_entropy(head(part).float(), target, reduction="none") for part, target in parts])


def _rows_at_once(head: torch.nn.Module, device: torch.device) -> int:
    row = 4 * (getattr(head, "out_features", None) or 65_536)
    rows = max(16, CHUNK_BYTES // row)
    return int(min(rows, max(FEWEST_CACHED, CACHED_BYTES // row)) if device.type == "cpu" else rows)


def _chunks(hidden: torch.Tensor, targets: torch.Tensor, rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
    """(hidden states, targets, which) of up to `rows` positions at a time.

    In 16 bits on a CPU zeros are added up to one of few sizes, because each size of a product gets a kernel of its own.
    """
    for start in range(0, len(targets), rows):
        place = slice(start, start + rows)
        part = hidden[place]
        if part.dtype == torch.bfloat16 and part.device.type == "cpu":
            part = functional.pad(part, (0, 0, 0, -len(part) % EVEN))
        yield part, targets[place], place


def _head_loss(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(head(hidden).float(), targets, reduction="sum")


def _head_losses(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(head(hidden).float(), targets, reduction="none")

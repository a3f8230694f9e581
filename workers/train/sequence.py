"""One sequence over several processes (DeepSpeed-Ulysses, Jacobs et al. 2023).

Each process has a stretch of a pass's tokens; for attention they exchange, so that each has all tokens of some of the heads,
and attention inside of each document is what it is on one process. Memory for activations falls by their number.
"""

from typing import Any

import numpy as np
import torch
from torch import distributed
from transformers import PreTrainedModel

from workers.spec.errors import UserError
from workers.train.packing import Documents

METHODS = ("pretrain", "sft")
"""Kinds of runs whose loss is a sum over tokens, so that each process can add its own."""


class SharedSequence:
    """`size` processes that share every pass; this one is number `rank` of them. `group`: their channel."""

    def __init__(self, size: int, rank: int, group: Any) -> None:
        self.size, self.rank, self.group = size, rank, group

    def evened(self, documents: Documents) -> Documents:
        """With a last document of nothing to learn, so that all stretches are equally long."""
        spare = -len(documents.tokens) % self.size
        if not spare:
            return documents
        tokens = np.concatenate([documents.tokens, np.zeros(spare, dtype=documents.tokens.dtype)])
        learnt = np.concatenate([documents.learnt, np.zeros(spare, dtype=bool)])
        return Documents(tokens, np.append(documents.starts, len(tokens)), learnt)

    def stretch(self, tokens: int) -> slice:
        """Where this process's tokens lie among those of a pass."""
        length = tokens // self.size
        return slice(self.rank * length, (self.rank + 1) * length)

    def own(self, positions: np.ndarray, targets: np.ndarray, tokens: int) -> tuple[np.ndarray, np.ndarray, int]:
        """(positions inside of this process's stretch, their targets, how many they are).

        Where there are none, one position stands in whose loss must not count: every process has to go through the same
        layers, because the others wait for it in each exchange.
        """
        mine = self.stretch(tokens)
        inside = (positions >= mine.start) & (positions < mine.stop)
        if not inside.any():
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 0
        return positions[inside] - mine.start, targets[inside], int(inside.sum())

    def to_heads(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(1, heads, own tokens, width) → (1, own heads, all tokens, width), of all three in one exchange."""
        heads = query.shape[1]
        if key.shape[1] % self.size:
            key, value = (item.repeat_interleave(heads // item.shape[1], 1) for item in (key, value))
        parts = [item[0].unflatten(0, (self.size, -1)) for item in (query, key, value)]
        mine = _Exchange.apply(torch.cat(parts, 1), self.group)  # (process, own heads, its tokens, width)
        everything = mine.transpose(0, 1).flatten(1, 2)
        found = everything.split([part.shape[1] for part in parts])
        return found[0][None], found[1][None], found[2][None]

    def to_tokens(self, output: torch.Tensor) -> torch.Tensor:
        """(1, own heads, all tokens, width) → (1, heads, own tokens, width)."""
        stretches = output[0].unflatten(1, (self.size, -1)).transpose(0, 1)
        found: torch.Tensor = _Exchange.apply(stretches, self.group)
        return found.flatten(0, 1)[None]


class _Exchange(torch.autograd.Function):
    """Row i goes to process i; row i of the result came from there. Gradients go the same way back."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor, group: Any) -> torch.Tensor:  # type: ignore[override]
        context.group = group
        return _exchanged(rows, group)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        return _exchanged(gradient, context.group), None


def _exchanged(rows: torch.Tensor, group: Any) -> torch.Tensor:
    sent = rows.contiguous()
    found = torch.empty_like(sent)
    # As bytes: not every channel knows every type of number.
    distributed.all_to_all_single(found.view(torch.uint8), sent.view(torch.uint8), group=group)
    return found


def check_sequence(kind: str, core: PreTrainedModel, packed: bool, size: int) -> None:
    """Refuse what cannot be shared out by heads."""
    if kind not in METHODS:
        raise UserError(
            "train.sequence_not_for_method",
            "Only pre-training and fine-tuning share one sequence among processes; choose 1 process for each sequence.",
        )
    heads = core.config.get_text_config().num_attention_heads
    if heads % size:
        raise UserError(
            "train.heads_not_divisible",
            "The {heads} attention heads of this model cannot be shared by {count} processes; choose a divisor of {heads}.",
            heads=heads,
            count=size,
        )
    if not packed:
        raise UserError(
            "train.sequence_needs_packing",
            "{architecture} has an attention of its own, which cannot be shared by processes; "
            "choose 1 process for each sequence.",
            architecture=type(core).__name__,
        )

"""Draws the next token of each row from its logits, as `Sampling` says."""

from collections.abc import Sequence

import torch

from workers.engine.engines.base import Alternatives, Sampling


def draw(
    logits: torch.Tensor, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int], generator: torch.Generator
) -> int:
    """One token id from `logits` (vocabulary,), which may be overwritten."""
    penalise(logits, sampling, prompt, generated)
    if sampling.greedy:
        return int(logits.argmax())
    logits /= sampling.temperature
    if 0 < sampling.top_k < logits.numel():
        logits[logits < logits.topk(sampling.top_k).values[-1]] = -torch.inf
    probabilities = logits.softmax(-1)
    if sampling.min_p > 0:
        probabilities[probabilities < sampling.min_p * probabilities.max()] = 0
    if sampling.top_p < 1:
        ordered, indices = probabilities.sort(descending=True)
        # The token that crosses the threshold stays.
        ordered[ordered.cumsum(-1) - ordered >= sampling.top_p * ordered.sum()] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(0, indices, ordered)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def penalise(logits: torch.Tensor, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int]) -> None:
    """Repetition counts prompt and answer (Keskar et al. 2019, CTRL); presence and frequency count the answer."""
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*prompt, *generated}))
        values = logits[seen]
        penalty = sampling.repetition_penalty
        logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if generated and (sampling.presence_penalty or sampling.frequency_penalty):
        seen, counts = torch.tensor(list(generated)).unique(return_counts=True)
        logits[seen] -= sampling.presence_penalty + sampling.frequency_penalty * counts


def rank(logprobs: torch.Tensor, count: int) -> Alternatives:
    """The `count` most probable tokens of one position, best first."""
    best = logprobs.topk(min(count, logprobs.numel()))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

"""Losses over whole answers, each from its paper's formula. Every function gives one number per example.

Log-probabilities are sums over the answer's tokens unless a name says mean.
"""

import torch
from torch.nn import functional


def dpo(chosen: torch.Tensor, rejected: torch.Tensor, *, beta: float, smoothing: float = 0.0) -> torch.Tensor:
    """Rafailov et al. 2023, eq. 7, from log-ratios to the reference; `smoothing`: conservative DPO (Mitchell 2023)."""
    lead = beta * (chosen - rejected)
    return -(1 - smoothing) * functional.logsigmoid(lead) - smoothing * functional.logsigmoid(-lead)


def simpo(chosen_mean: torch.Tensor, rejected_mean: torch.Tensor, *, beta: float, margin: float) -> torch.Tensor:
    """Meng et al. 2024, eq. 6: no reference, the mean log-probability of a token is the reward."""
    return -functional.logsigmoid(beta * (chosen_mean - rejected_mean) - margin)


def orpo(chosen_mean: torch.Tensor, rejected_mean: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Hong et al. 2024, eq. 6 and 7: the plain loss of the chosen answer and, times beta, the log of the odds ratio."""
    return -chosen_mean - beta * functional.logsigmoid(log_odds(chosen_mean) - log_odds(rejected_mean))


def log_odds(mean: torch.Tensor) -> torch.Tensor:
    """log(p / (1 − p)) with p the geometric mean of the tokens' probabilities."""
    return mean - torch.log1p(-mean.clamp(max=-1e-6).exp())


def kto(
    ratio: torch.Tensor, desirable: torch.Tensor, anchor: float, *, beta: float, weights: tuple[float, float]
) -> torch.Tensor:
    """Ethayarajh et al. 2024, eq. 8, from log-ratios to the reference. `anchor`: estimate of the divergence from it, ≥ 0;
    `weights`: of good and of bad answers."""
    good = weights[0] * (1 - torch.sigmoid(beta * (ratio - anchor)))
    bad = weights[1] * (1 - torch.sigmoid(beta * (anchor - ratio)))
    return torch.where(desirable, good, bad)


def bradley_terry(chosen: torch.Tensor, rejected: torch.Tensor, *, centre: float) -> torch.Tensor:
    """−log σ(r₊ − r₋), and the rewards of a pair drawn to a sum of zero (Eisenstein et al. 2023)."""
    return -functional.logsigmoid(chosen - rejected) + centre * (chosen + rejected) ** 2

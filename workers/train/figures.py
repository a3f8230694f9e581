"""How fast the machine computes and where its memory goes: FLOP of a step, share of the machine's peak, bytes by part.

Counted as in PaLM (Chowdhery et al. 2022, appendix B): 2 FLOP for each weight and token forward, 4 backward (2 where the
weight is frozen), and 4 · layers · width for each pair of tokens that attend to each other, three times that in training.
"""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers import PreTrainedModel

from workers.train.team import local

CALIBRATION = {"cpu": 768, "cuda": 8192}
"""Size of the square matrices whose product measures the peak."""


class Work:
    """FLOP that a model needs to learn documents of given lengths."""

    def __init__(self, core: PreTrainedModel) -> None:
        config = core.config.get_text_config()
        frozen, trained = _matrix_weights(core)
        self._per_token = 4 * frozen + 6 * trained
        self._per_pair = 12 * config.num_hidden_layers * config.hidden_size

    def flop(self, lengths: np.ndarray) -> float:
        pairs = float((lengths.astype(np.float64) ** 2).sum()) / 2  # causal: a token attends to those before it
        return float(self._per_token * lengths.sum() + self._per_pair * pairs)


def weights_of(item: torch.nn.Parameter) -> int:
    """Weights that a parameter stands for; four-bit ones are stored two in a byte."""
    state = getattr(item, "quant_state", None)
    return int(np.prod(state.shape)) if state is not None else item.numel()


def _matrix_weights(core: PreTrainedModel) -> tuple[int, int]:
    """(frozen, trained) weights that every token is multiplied with. The input embedding is only looked up."""
    looked_up = core.get_input_embeddings().weight
    tied = getattr(core.get_output_embeddings(), "weight", None) is looked_up
    counts = [0, 0]
    for item in core.parameters():
        if (item.ndim >= 2 or hasattr(item, "quant_state")) and (item is not looked_up or tied):
            counts[item.requires_grad] += weights_of(item)
    return counts[0], counts[1]


def peak_flops(device: torch.device, precision: str) -> float:
    """FLOP per second of the best of a few large matrix products: what this machine can do at most."""
    size = CALIBRATION.get(device.type, 768)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))  # draws no random numbers
    best = float("inf")
    for _ in range(4):
        _wait(device)
        began = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Memory:
    """Bytes by part, measured in this process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.activations = 0

    @contextmanager
    def counting(self, core: torch.nn.Module) -> Iterator[None]:
        """Count what the passes in this block keep for their backward passes."""
        weights = {item.untyped_storage().data_ptr() for item in map(local, core.parameters())}
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield
        self.activations = max(self.activations, sum(kept.values()))

    def parts(self, core: torch.nn.Module, gradients: int, optimizer: int) -> dict[str, int]:
        """`peak` is that of the device's memory, on a CPU that of the whole process."""
        return {
            "weights": sum(item.numel() * item.element_size() for item in map(local, core.parameters())),
            "gradients": gradients,
            "optimizer": optimizer,
            "activations": self.activations,
            "peak": self._peak(),
        }

    def _peak(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

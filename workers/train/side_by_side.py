"""Two passes of a model at once, each on cores of its own, instead of all cores on one pass.

On two cores that takes a fourth to a third off a step of a 110 M LoRA: oneDNN does a product of some 800 to 1,300 rows and
768 columns on one core, and the work between the products waits for all cores again and again. Two passes of half the documents
wait once, at their end. The threads share the weights; each brings gradients of its own, which are added in a fixed order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from typing import TypeVar

import numpy as np
import torch
from transformers import PreTrainedModel

T = TypeVar("T")

PASSES = 2
FEWEST_TOKENS = 128
"""Tokens below which a pass of its own is mostly what every operation costs."""
MOST_GRADIENTS = 128 << 20
"""Bytes of each pass's own gradients; adding up those of large models that are learnt whole costs what is gained."""


def pays(core: PreTrainedModel, threads: int) -> bool:
    """Whether a packed model with products in 16 bits should be run so. Passes that draw random numbers must take turns."""
    learnt = sum(item.numel() * item.element_size() for item in core.parameters() if item.requires_grad)
    return threads >= PASSES and learnt <= MOST_GRADIENTS and not _draws(core)


def _draws(core: PreTrainedModel) -> bool:
    layers = any(isinstance(item, torch.nn.modules.dropout._DropoutNd) and item.p for item in core.modules())
    return layers or bool(getattr(core.config.get_text_config(), "attention_dropout", 0.0))


class SideBySide:
    """Threads for passes, with `threads` cores for all of them."""

    def __init__(self, threads: int) -> None:
        started = Barrier(PASSES)
        self._pool = ThreadPoolExecutor(PASSES, "pass", initializer=_use_cores, initargs=(threads // PASSES,))
        list(self._pool.map(lambda _: started.wait(), range(PASSES)))
        torch.set_num_threads(threads)  # the number for threads that have none of their own, such as this one

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """What each of up to `PASSES` tasks returns. All have ended when this returns or raises."""
        begun = [self._pool.submit(task) for task in tasks]
        wait(begun)
        return [item.result() for item in begun]


def _use_cores(count: int) -> None:
    torch.get_num_threads()  # a thread's first use of its number overwrites it with that of the whole process
    torch.set_num_threads(count)


def deal(lengths: np.ndarray) -> list[np.ndarray]:
    """Documents for each pass, of about as many tokens; a single list where that is not worth it."""
    if len(lengths) < PASSES or lengths.sum() < PASSES * FEWEST_TOKENS:
        return [np.arange(len(lengths))]
    dealt: list[list[int]] = [[] for _ in range(PASSES)]
    totals = [0] * PASSES
    for index in np.argsort(-lengths, kind="stable").tolist():
        least = totals.index(min(totals))
        dealt[least].append(index)
        totals[least] += int(lengths[index])
    return [np.array(sorted(indices)) for indices in dealt]

"""How a training run is done, as far as memory and time depend on it."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["full", "lora", "qlora"]
Precision = Literal["float32", "bfloat16"]
Sharding = Literal["none", "zero1", "zero2", "zero3"]


@dataclass(frozen=True)
class TrainingPlan:
    """`tokens`: of one pass (micro-batch) on one device; `sequence`: of the longest example; `passes`: of one step.

    `loss`: "chunked" makes the logits of a few rows at a time (our trainer), "whole" all at once (plain transformers).
    `paged`: the optimiser's states lie in the host's memory; `offload`: activations wait there for the backward pass (both of a
    card only). `references`: copies of the frozen model kept beside the trained one (preference methods without adapters).
    """

    method: Method = "lora"
    sequence: int = 512
    tokens: int = 2048
    passes: int = 1
    precision: Precision = "bfloat16"
    checkpointing: bool = False
    optimizer: Literal["adamw", "adamw_8bit", "adafactor"] = "adamw"
    paged: bool = False
    offload: bool = False
    loss: Literal["chunked", "whole"] = "chunked"
    attention: Literal["fused", "eager"] = "fused"
    rank: int = 16
    dropout: bool = False
    typical: int = 0
    """Tokens of a usual example; 0: as many as of the longest."""
    new_tokens: bool = False
    """Whether embeddings of tokens that the base never learnt are learnt beside an adapter."""
    device: Literal["cpu", "cuda"] = "cpu"
    at_once: int = 1
    """Parts of a pass that run side by side on cores of their own, each with gradients of its own."""
    large_pages: bool = True
    """Whether the host gives large tensors large pages when it is asked to."""
    devices: int = 1
    together: int = 1
    """Devices that share each pass: `tokens` are the stretch of one of them."""
    sharding: Sharding = "none"
    group: int | None = None
    """Devices among which weights are shared out; between the groups they are copied. None: all devices."""
    references: int = 0
    stored_bytes: int = 2
    """Bytes of a weight in the model's files."""

    @property
    def trains_adapter(self) -> bool:
        return self.method != "full"

"""What a GPU has no room for lies in the host's memory: activations until the backward pass wants them, AdamW's state for good.

Every copy is queued behind the GPU's own work, from and to page-locked memory, so that nobody waits but the optimiser.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from workers.spec.errors import UserError
from workers.spec.train import Optimisation
from workers.train.team import local

LEAST = 64 << 10
"""Bytes below which an activation stays where it is: the copy would take longer than it saves."""


def check_offload(given: Optimisation, device: torch.device) -> None:
    """Refuse what would only cost time, or does not exist."""
    if device.type != "cuda" and "on" in (given.offload_activations, given.offload_optimizer):
        raise UserError(
            "train.offload_needs_gpu",
            "Without a GPU everything lies in the machine's own memory already; switch both kinds of offloading off.",
        )
    if given.offload_optimizer == "on" and given.optimizer != "adamw":
        raise UserError(
            "train.offload_needs_adamw",
            "Only the state of adamw can lie in the machine's own memory; choose adamw, or keep the optimiser on the GPU.",
        )


@contextmanager
def activations_on_host(core: torch.nn.Module) -> Iterator[None]:
    """A forward pass that keeps what its backward pass needs in the host's memory; weights stay where they are."""
    weights = {local(item).untyped_storage().data_ptr() for item in core.parameters()}

    def away(tensor: torch.Tensor) -> Any:
        if tensor.nbytes < LEAST or tensor.untyped_storage().data_ptr() in weights:
            return tensor
        kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        kept.copy_(tensor, non_blocking=True)
        return tensor.device, kept

    def back(found: Any) -> torch.Tensor:
        if isinstance(found, torch.Tensor):
            return found
        device, kept = found
        return kept.to(device, non_blocking=True)  # type: ignore[no-any-return]

    with torch.autograd.graph.saved_tensors_hooks(away, back):
        yield


def keep_activations_on_host(core: PreTrainedModel) -> None:
    """From now on; the output layer and the loss keep theirs where they are."""
    blocks: Any = core.base_model
    original = blocks.forward

    def forward(*inputs: Any, **options: Any) -> Any:
        with activations_on_host(core) if torch.is_grad_enabled() else nullcontext():
            return original(*inputs, **options)

    blocks.forward = forward


class HostAdamW(torch.optim.AdamW):
    """AdamW that steps on the processor, over copies of the weights; the GPU holds weights and gradients only."""

    def __init__(self, groups: list[dict[str, Any]], **settings: Any) -> None:
        self.hosts: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
        copied = [{**group, "params": [self._copy(item) for item in group["params"]]} for group in groups]
        super().__init__(copied, fused=True, **settings)

    def _copy(self, item: torch.nn.Parameter) -> torch.nn.Parameter:
        self.hosts[item] = torch.nn.Parameter(_host_like(local(item)).copy_(local(item.detach())))
        return self.hosts[item]

    def refresh(self) -> None:
        """The weights have been changed from outside."""
        with torch.no_grad():
            for item, host in self.hosts.items():
                host.copy_(local(item))

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for item, host in self.hosts.items():
            if item.grad is None:
                host.grad = None
                continue
            if host.grad is None:
                host.grad = _host_like(local(item))
            host.grad.copy_(local(item.grad), non_blocking=True)
        _wait(self.hosts)
        super().step(closure)
        with torch.no_grad():
            for item, host in self.hosts.items():
                local(item).copy_(host, non_blocking=True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The room for gradients on the host is kept; it is written before it is read."""
        for item in self.hosts:
            item.grad = None


def _host_like(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)


def _wait(hosts: Mapping[torch.nn.Parameter, Any]) -> None:
    if any(local(item).is_cuda for item in hosts):
        torch.cuda.current_stream().synchronize()

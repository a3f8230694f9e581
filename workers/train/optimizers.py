"""The optimisers that a run can choose, and their state as plain tensors for checkpoints."""

from collections.abc import Mapping
from typing import Any

import torch

from workers.train.offload import HostAdamW
from workers.train.quantise import load_library
from workers.train.team import is_shared_out, laid_out, local


def make_optimizer(
    name: str, parameters: Mapping[str, torch.nn.Parameter], weight_decay: float, *, on_host: bool = False
) -> torch.optim.Optimizer:
    """Weight decay holds for matrices only. `on_host`: adamw's state lies in the host's memory."""
    matrices = [item for item in parameters.values() if item.ndim >= 2]
    vectors = [item for item in parameters.values() if item.ndim < 2]
    given = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    groups: list[dict[str, Any]] = [group for group in given if group["params"]]
    if name == "adamw_8bit":
        return load_library().optim.AdamW8bit(groups, lr=1e-3, betas=(0.9, 0.95))
    if name == "adafactor":
        return torch.optim.Adafactor(groups, lr=1e-3)
    if on_host:
        return HostAdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=not any(map(is_shared_out, parameters.values())))


def state_of(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors, other values), both by `<kind>/<parameter>`."""
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, Any] = {}
    for name, item in parameters.items():
        for kind, value in optimizer.state.get(_stepped(optimizer, item), {}).items():
            if isinstance(value, torch.Tensor):
                # The tables of 8-bit optimisers are one tensor for all parameters, which safetensors refuses.
                kept = value.clone() if kind.startswith("qmap") else value
                tensors[f"{kind}/{name}"] = laid_out(item, kept) if value.ndim and isinstance(optimizer, HostAdamW) else kept
            else:
                values[f"{kind}/{name}"] = value
    return tensors, values


def restore_state(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, torch.nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
    values: Mapping[str, Any],
) -> None:
    for key, value in {**tensors, **values}.items():
        kind, _, name = key.partition("/")
        parameter = _stepped(optimizer, parameters[name])
        kept = local(value) if isinstance(optimizer, HostAdamW) else value
        optimizer.state[parameter][kind] = kept.to(parameter.device) if isinstance(kept, torch.Tensor) else kept
    if isinstance(optimizer, HostAdamW):
        optimizer.refresh()


def _stepped(optimizer: torch.optim.Optimizer, item: torch.nn.Parameter) -> torch.nn.Parameter:
    """What the optimiser itself steps for a weight of the model."""
    return optimizer.hosts[item] if isinstance(optimizer, HostAdamW) else item


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the optimiser's tensors in this process; what lies in a GPU's host does not count."""
    if isinstance(optimizer, HostAdamW) and any(local(item).is_cuda for item in optimizer.hosts):
        return 0
    found = {
        value.data_ptr(): value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in map(local, state.values())
        if isinstance(value, torch.Tensor)
    }
    return sum(found.values())

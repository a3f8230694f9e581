"""PiSSA (Meng et al. 2024): the adapter starts as the largest singular directions of each weight, the weight keeps the rest.

Base and adapter together are the base itself at first. What is saved is an ordinary LoRA of twice the rank on the unchanged
base: B·A − B₀·A₀.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from workers.train.output import save_tensors

ADAPTER = "adapter_model.safetensors"
POWER_ITERATIONS = 8
SPARE = 8
"""Passes and extra directions of the randomised singular value decomposition, which make it exact enough."""


def start(adapted: Any, rank: int, seed: int, remembered: Path, *, write: bool = True) -> dict[str, torch.Tensor]:
    """Split the weights of all adapted layers; returns the adapters' first values by name.

    They are written to `remembered`, because a resumed run must subtract the very same ones. Of several processes, which all
    find the same values, one may `write`.
    """
    known = load_file(remembered) if remembered.is_file() else {}
    first: dict[str, torch.Tensor] = {}
    torch.manual_seed(seed)
    for name, layer in _adapted_layers(adapted):
        weight, scaling = layer.get_base_layer().weight, layer.scaling["default"]
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        if not known:
            left, values, right = _largest(weight.detach().float(), rank)
            width = len(values)  # a layer may be narrower than the rank
            down.data.zero_()[:width] = values.sqrt()[:, None] * right
            up.data.zero_()[:, :width] = left * values.sqrt() / scaling
        else:
            down.data.copy_(known[f"{name}.lora_A.weight"])
            up.data.copy_(known[f"{name}.lora_B.weight"])
        weight.data.copy_((weight.detach().float() - scaling * up.detach() @ down.detach()).to(weight.dtype))
        first[f"{name}.lora_A.weight"] = down.detach().clone().cpu()
        first[f"{name}.lora_B.weight"] = up.detach().clone().cpu()
    if not known and write:
        temporary = remembered.with_suffix(".tmp")
        save_tensors(first, temporary)
        temporary.replace(remembered)
    return first


def _largest(weight: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `rank` largest singular values with their directions: (out, r), (r), (r, in)."""
    if rank * 4 + SPARE >= min(weight.shape):
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        return left[:, :rank], values[:rank], right[:rank]
    left, values, right = torch.svd_lowrank(weight, q=rank + SPARE, niter=POWER_ITERATIONS)
    return left[:, :rank], values[:rank], right[:, :rank].T


def _adapted_layers(adapted: Any) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in adapted.named_modules() if hasattr(layer, "lora_A") and "default" in layer.lora_A]


def subtract_start(folder: Path, first: dict[str, torch.Tensor]) -> None:
    """Rewrite a saved adapter so that it fits the unchanged base."""
    tensors = load_file(folder / ADAPTER)
    for name, start_value in first.items():
        key = name if name in tensors else next(stored for stored in tensors if stored.endswith(name))
        is_down = ".lora_A." in name
        second = start_value if is_down else -start_value
        tensors[key] = torch.cat([tensors[key], second.to(tensors[key])], 0 if is_down else 1).contiguous()
    save_file(tensors, folder / ADAPTER, {"format": "pt"})
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["r"], config["lora_alpha"] = 2 * config["r"], 2 * config["lora_alpha"]
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")

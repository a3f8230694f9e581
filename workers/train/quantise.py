"""Frozen weights in four bits (nf4 with double quantisation, Dettmers et al. 2023), for QLoRA on CPUs and GPUs alike."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.spec.errors import UserError


def load_library() -> Any:
    """bitsandbytes, which peft imports wherever it is installed. It would have functions compiled that we never call, and to
    prepare for that takes seconds; refused, it keeps them as they are."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise NotImplementedError

    original = torch.compile
    torch.compile = refuse
    try:
        import bitsandbytes
    finally:
        torch.compile = original
    return bitsandbytes


def quantise_blocks(core: PreTrainedModel, device: torch.device, compute: torch.dtype) -> None:
    """Put every linear layer but the output layer into four bits. Embeddings and norms stay as they are.

    Layers are quantised one after another on the run's device, so that the whole model never lies there unquantised.
    """
    output = set(core.get_output_embeddings().modules())  # wrapped where some of its tokens are learnt
    found = [
        (parent, name, layer)
        for parent in core.modules()
        for name, layer in parent.named_children()
        if type(layer) is nn.Linear and layer not in output and not _is_adapter(name, parent)
    ]
    if not found:
        raise UserError(
            "train.nothing_to_quantise",
            "{architecture} has no linear layers that could be kept in 4 bits; choose LoRA instead of QLoRA.",
            architecture=type(core).__name__,
        )
    for parent, name, layer in found:
        setattr(parent, name, _in_four_bits(layer, device, compute))
    core.is_loaded_in_4bit = True  # what peft asks before it puts adapters beside such layers


def _is_adapter(name: str, parent: nn.Module) -> bool:
    return name.startswith("lora_") or (isinstance(parent, nn.ModuleDict) and name == "default")


def _in_four_bits(layer: nn.Linear, device: torch.device, compute: torch.dtype) -> nn.Module:
    library = load_library()
    with torch.device("meta"):
        small = library.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=compute,
            compress_statistics=True,
            quant_type="nf4",
        )
    weight = layer.weight.detach().contiguous()
    small.weight = library.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=small
    ).to(device)
    if layer.bias is not None:
        small.bias = nn.Parameter(layer.bias.detach().to(device), requires_grad=False)
    # Outside of training the library would repack the weights for a kernel that is downloaded on demand.
    small.support_avx512bf16_for_cpu = False
    small.training = layer.training
    return small

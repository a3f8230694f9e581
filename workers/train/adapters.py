"""LoRA in peft's own format: low-rank matrices beside every linear layer of the blocks, B = 0 at the start."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from workers.spec.errors import UserError
from workers.spec.train import Lora
from workers.train.quantise import load_library


def add_lora(core: PreTrainedModel, lora: Lora, *, base_name: str, token_indices: list[int], seed: int) -> Any:
    """Put trainable adapters into `core` and freeze the rest; returns the peft model that can save them.

    `token_indices`: tokens whose embeddings are learnt as well, because the base never learnt them.
    """
    load_library()
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    torch.manual_seed(seed)
    tied = core.get_input_embeddings().weight is core.get_output_embeddings().weight
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha if lora.alpha is not None else 2 * lora.rank,
        lora_dropout=lora.dropout,
        target_modules=lora.targets or "all-linear",
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
        trainable_token_indices=_embeddings(core, token_indices, tied) if token_indices else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with _renamed_attribute():
            adapted = get_peft_model(core, config, autocast_adapter_dtype=True)
    except ValueError as error:
        raise UserError(
            "sft.bad_targets",
            "LoRA cannot be put on the layers {targets} ({detail}); choose other layers, or leave the choice open.",
            targets=", ".join(lora.targets or ["all-linear"]),
            detail=str(error)[:200],
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = base_name
    for module in core.modules():
        # Autocast already brings both sides of a product to one type; peft's own cast to f32 costs a tenth of the speed.
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def _embeddings(core: PreTrainedModel, token_indices: list[int], tied: bool) -> list[int] | dict[str, list[int]]:
    """Tied embeddings are learnt as one; otherwise a token must be learnt where it is read and where it is written."""
    if tied:
        return token_indices
    names = {id(module): name.rpartition(".")[2] for name, module in core.named_modules()}
    return {names[id(layer)]: token_indices for layer in (core.get_input_embeddings(), core.get_output_embeddings())}


def merge_adapter(core: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The base with a LoRA folder added into its weights."""
    load_library()
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(
            "model.adapter_not_safetensors",
            "The adapter folder {folder} has no adapter_model.safetensors; import the adapter in that format.",
            folder=folder.name,
        )
    with _renamed_attribute():
        merged: PreTrainedModel = PeftModel.from_pretrained(core, str(folder)).merge_and_unload()
    return merged.requires_grad_(True)


@contextmanager
def _renamed_attribute() -> Iterator[None]:
    """peft reads an attribute that transformers has renamed, and is told so each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield

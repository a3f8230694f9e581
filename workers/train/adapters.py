"""LoRA in peft's own format: low-rank matrices beside every linear layer of the blocks, B = 0 at the start."""

from typing import Any

import torch
from transformers import PreTrainedModel

from workers.spec.errors import UserError
from workers.spec.train import Lora


def add_lora(core: PreTrainedModel, lora: Lora, *, base_name: str, token_indices: list[int], seed: int) -> Any:
    """Put trainable adapters into `core` and freeze the rest; returns the peft model that can save them.

    `token_indices`: tokens whose embeddings are learnt as well, because the base never learnt them.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha if lora.alpha is not None else 2 * lora.rank,
        lora_dropout=lora.dropout,
        target_modules=lora.targets or "all-linear",
        trainable_token_indices=token_indices or None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(core, config, autocast_adapter_dtype=True)
    except ValueError as error:
        raise UserError(
            "sft.bad_targets",
            "LoRA cannot be put on the layers {targets}: {detail}",
            targets=", ".join(lora.targets or ["all-linear"]),
            detail=str(error)[:200],
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = base_name
    return adapted

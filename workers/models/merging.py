"""Adds a LoRA into the weights of its base. Needs torch and peft, so only the child that merges imports it."""

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from workers.models.folder import check_folder
from workers.spec.errors import UserError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)


def merge(*, base: Path, adapter: Path, target: Path) -> None:
    """Write base + adapter as a complete model folder. The sum is made in float32 and stored in the base's own type."""
    check_folder(base)
    check_folder(adapter)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype="auto", trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
        stored = model.dtype
        merged = PeftModel.from_pretrained(model.to(torch.float32), str(adapter)).merge_and_unload()
    except (ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            "model.merge_failed",
            "The adapter {adapter} does not fit its base ({detail}); choose the base on which it was trained.",
            adapter=adapter.name,
            detail=str(error)[:300],
        ) from error
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    merged.to(stored).save_pretrained(target)
    for name in TOKENIZER_FILES:
        for folder in (base, adapter):  # the adapter's tokenizer, when it has one, is the one it was trained with
            if (folder / name).is_file():
                shutil.copyfile(folder / name, target / name)

"""Opens, makes and saves Hugging Face causal language models: safetensors only, no code from model folders."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from workers.data.templates import ChatTemplate
from workers.spec.errors import UserError
from workers.spec.train import Architecture
from workers.train.output import require_space

disable_progress_bar()

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)


def check_folder(folder: Path) -> None:
    """Refuse what cannot be opened safely: no config, or weights as Python pickles, which may run code."""
    if not (folder / "config.json").is_file():
        raise UserError(
            "model.no_config",
            "The model folder {folder} has no config.json; import a model in Hugging Face format.",
            folder=folder.name,
        )
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise UserError(
            "model.pickle_refused",
            "The weights of {folder} are in {file}, a Python pickle that could run code; convert them to safetensors first.",
            folder=folder.name,
            file=pickles[0],
        )
    raise UserError("model.no_weights", "The model folder {folder} has no .safetensors file.", folder=folder.name)


def load_model(folder: Path) -> PreTrainedModel:
    """The model in the type in which it is stored; bf16 weights of a frozen base never take the room of f32 ones."""
    check_folder(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype="auto", trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            "model.unsupported",
            "The model in {folder} cannot be opened ({detail}); choose a model whose architecture transformers has.",
            folder=folder.name,
            detail=str(error)[:300],
        ) from error
    model.config.use_cache = False
    return model


def new_llama(shape: Architecture, template: ChatTemplate, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights (normal, 1/√hidden size; the layers that write to the residual stream smaller, as in GPT-2)."""
    heads, kv_heads = shape.heads, shape.kv_heads or shape.heads
    if shape.hidden_size % heads or (shape.hidden_size // heads) % 2 or heads % kv_heads:
        raise UserError(
            "pretrain.bad_shape",
            "A hidden size of {hidden} cannot be shared by {heads} heads ({kv_heads} for keys): hidden size / heads must be "
            "an even whole number, and heads / key heads a whole number.",
            hidden=shape.hidden_size,
            heads=heads,
            kv_heads=kv_heads,
        )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=template.vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size or 32 * round(shape.hidden_size * 8 / 3 / 32),
        num_hidden_layers=shape.layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=shape.context_length,
        tie_word_embeddings=shape.tie_embeddings,
        bos_token_id=template.bos_token_id,
        eos_token_id=template.eos_token_id,
        pad_token_id=template.pad_token_id,
        use_cache=False,
        # In a narrow model 0.02 leaves attention flat for long: measured, copying is learnt much later.
        initializer_range=shape.hidden_size**-0.5,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_((2 * shape.layers) ** -0.5)
    return model


def stored_dtype(folder: Path) -> torch.dtype:
    """The type in which a model folder keeps its weights, and in which its successor is saved."""
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = facts.get("dtype") or facts.get("torch_dtype")
    found = getattr(torch, name, None) if isinstance(name, str) else None
    return found if isinstance(found, torch.dtype) else torch.float32


def context_length(model: PreTrainedModel) -> int:
    """Positions that the model was made for."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2048)


def match_vocabulary(model: PreTrainedModel, template: ChatTemplate) -> None:
    """Refuse a tokenizer that has tokens for which the model has no embedding."""
    rows = model.get_input_embeddings().weight.shape[0]
    if template.vocabulary_size > rows:
        raise UserError(
            "model.vocabulary_mismatch",
            "The tokenizer has {tokens} tokens and the model only {rows} embeddings; use the tokenizer of this model.",
            tokens=template.vocabulary_size,
            rows=rows,
        )


def save_model(
    model: PreTrainedModel, folder: Path, *, source: Path, template: ChatTemplate, dtype: torch.dtype = torch.float32
) -> None:
    """A complete Hugging Face folder; tokenizer and template are copied from `source` unchanged."""
    model = model.to(dtype)
    require_space(folder, sum(item.numel() * item.element_size() for item in model.parameters()))
    model.config.use_cache = True
    model.config._attn_implementation = "sdpa"
    try:
        model.save_pretrained(folder, save_original_format=False)
    except Exception as error:  # safetensors tells a full disk by the text of its own exception
        if f"os error {errno.ENOSPC}" in str(error).lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise
    copy_tokenizer(source, folder)
    _write_generation_config(folder, model.config, template)


def copy_tokenizer(source: Path, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
        elif (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _write_generation_config(folder: Path, config: Any, template: ChatTemplate) -> None:
    path = folder / "generation_config.json"
    given = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known = template.stop_token_ids
    stops = known[0] if len(known) == 1 else known or config.eos_token_id
    given.update(eos_token_id=stops, pad_token_id=template.pad_token_id)
    if template.bos_token_id is not None:
        given["bos_token_id"] = template.bos_token_id
    path.write_text(json.dumps(given, indent=2), encoding="utf-8")

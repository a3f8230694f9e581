"""InternLM2 checkpoints as Llama, which they are but for names and one fused matrix: an exact permutation, no code of theirs.

`wqkv` holds for each key head its query heads, then the key, then the value (InternLM2 technical report, figure 2).
"""

import json
import shutil
from pathlib import Path
from typing import Any

from workers.data.template_files import read_json
from workers.spec.errors import UserError

MODEL_TYPE = "internlm2"
NAMES = {
    "tok_embeddings": "embed_tokens",
    "attention.wo": "self_attn.o_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
FUSED = "attention.wqkv"
KEPT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
    "tie_word_embeddings", "rope_theta", "rope_scaling", "torch_dtype", "dtype",
)  # fmt: skip


def is_internlm2(folder: Path) -> bool:
    return read_json(folder / "config.json").get("model_type") == MODEL_TYPE


def convert(source: Path, target: Path) -> None:
    """Write the folder `source` as a Llama into `target`: the same weights, bit for bit, in other places."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    config = read_json(source / "config.json")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json", "config.json", "*.py"))
    places: dict[str, str] = {}
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            tensors: dict[str, Any] = {}
            for name in weights.keys():  # noqa: SIM118 - not a dictionary
                tensors |= _renamed(name, weights.get_tensor(name), config)
        save_file(tensors, target / file.name, {"format": "pt"})
        places |= dict.fromkeys(tensors, file.name)
    if len(set(places.values())) > 1:
        index = {"metadata": {}, "weight_map": places}
        (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    (target / "config.json").write_text(json.dumps(_llama_config(config), indent=1), encoding="utf-8")


def _llama_config(config: dict[str, Any]) -> dict[str, Any]:
    kept = {name: config[name] for name in KEPT if name in config}
    bias = bool(config.get("bias", False))
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **kept, "attention_bias": bias, "mlp_bias": False}


def _renamed(name: str, tensor: Any, config: dict[str, Any]) -> dict[str, Any]:
    if name.startswith("output."):
        return {name.replace("output.", "lm_head.", 1): tensor}
    if FUSED in name:
        return _parted(name, tensor, config)
    for old, new in NAMES.items():
        name = name.replace(f".{old}.", f".{new}.")
    return {name: tensor}


def _parted(name: str, tensor: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Query, key and value of the fused matrix (or its bias): rows in groups of (query heads of a key head + 2) heads."""
    heads, key_heads = int(config["num_attention_heads"]), int(config.get("num_key_value_heads") or config["num_attention_heads"])
    size, group = int(config["hidden_size"]) // heads, heads // key_heads + 2
    if tensor.shape[0] != key_heads * group * size:
        raise UserError(
            "model.odd_internlm2",
            "The weights of {name} do not have the shape that config.json promises; copy or download the model again.",
            name=name,
        )
    rest = tensor.shape[1:]
    parts = tensor.view(key_heads, group, size, *rest)
    chosen = {"q": parts[:, :-2], "k": parts[:, -2], "v": parts[:, -1]}
    return {
        name.replace(FUSED, f"self_attn.{letter}_proj"): part.reshape(-1, *rest).contiguous() for letter, part in chosen.items()
    }

"""Tiny model folders and adapters written without torch, and a way to run the program on them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.workers.data.tiny import byte_level_tokenizer, write_folder
from workers.spec.run import RunFile

ROOT = Path(__file__).resolve().parents[3]
HIDDEN, LAYERS, WIDE = 32, 2, 64
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_model(folder: Path, *, seed: int = 0, vocabulary: int = 300, **config: Any) -> Path:
    """A complete little Llama (random weights): config, safetensors, tokenizer, template by default."""
    tokenizer = byte_level_tokenizer(CHATML, vocabulary)
    write_folder(folder, tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    facts = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": size,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "eos_token_id": 0,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(facts))
    save_file(tensors(size, seed), folder / "model.safetensors", {"format": "pt"})
    return folder


def tensors(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return random.normal(0, 0.05, shape).astype(np.float32)

    found = {"model.embed_tokens.weight": matrix(vocabulary, HIDDEN), "model.norm.weight": np.ones(HIDDEN, np.float32)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name in ("q", "k", "v", "o"):
            found[f"{prefix}self_attn.{name}_proj.weight"] = matrix(HIDDEN, HIDDEN)
        found[f"{prefix}mlp.gate_proj.weight"] = matrix(WIDE, HIDDEN)
        found[f"{prefix}mlp.up_proj.weight"] = matrix(WIDE, HIDDEN)
        found[f"{prefix}mlp.down_proj.weight"] = matrix(HIDDEN, WIDE)
        found[f"{prefix}input_layernorm.weight"] = np.ones(HIDDEN, np.float32)
        found[f"{prefix}post_attention_layernorm.weight"] = np.ones(HIDDEN, np.float32)
    return found


def write_adapter(folder: Path, *, rank: int = 2, alpha: int = 4, seed: int = 1) -> Path:
    """A LoRA on every q_proj of `write_model`'s Llama."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "tiny"}))
    random = np.random.default_rng(seed)
    weights = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = random.normal(0, 0.1, (rank, HIDDEN)).astype(np.float32)
        weights[f"{name}.lora_B.weight"] = random.normal(0, 0.1, (HIDDEN, rank)).astype(np.float32)
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    return folder


def run_program(
    folder: Path, kind: str, spec: dict[str, Any], inputs: dict[str, Any], **environment: str
) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """(exit code, result or the error event, all events) of `python -m workers.models` as a real process."""
    run = RunFile(job=1, kind=kind, spec=spec, inputs=inputs, run_dir=folder / "run", output_dir=folder / "output")
    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "run" / "run.json").write_text(run.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "workers.models", str(folder / "run" / "run.json")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        timeout=180,
        check=False,
    )
    events = [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]
    last = next((event for event in reversed(events) if event["type"] in {"result", "error"}), {})
    return done.returncode, last.get("result", last), events

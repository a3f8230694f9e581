"""GGUF files compute what the checkpoint computes (S8.9: what was trained is what is served)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.workers.engine.tiny import greedy, load_reference, token_logprobs, write_model
from workers.engine import gguf_export
from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import Sampling
from workers.engine.engines.openvino import OpenVINOStepper
from workers.engine.engines.stepped import run_in_thread
from workers.engine.vocabulary import Vocabulary, spell
from workers.spec.errors import UserError

PROMPT = [(7 * index) % 390 + 5 for index in range(90)]


def run_openvino(checkpoint: Checkpoint, weights: str, cache: Path, count: int = 16) -> tuple[list[int], np.ndarray]:
    """Greedy tokens after PROMPT, and the log-probabilities of PROMPT."""
    stepper = OpenVINOStepper(
        gguf_export.export(checkpoint, weights, cache),
        checkpoint,
        weights=weights,
        context_length=256,
        max_concurrent=4,
        kv_cache_mb=16,
        threads=1,
    )

    async def both() -> tuple[list[int], np.ndarray]:
        engine = run_in_thread(stepper, 4)
        tokens: list[int] = []
        async for event in engine.generate(PROMPT, Sampling(max_tokens=count, temperature=0.0)):
            tokens += event.token_ids
        scores = await engine.score(PROMPT)
        await engine.close()
        return tokens, np.array(scores.logprobs[1:])

    return asyncio.run(both())


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
        ("llama", {"attention_bias": True, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {"head_dim": 32}),
    ],
    ids=["llama", "llama tied", "llama with biases", "mistral", "qwen2", "qwen3"],
)
def test_f16_computes_what_transformers_computes(tmp_path: Path, family: str, config: dict[str, Any]) -> None:
    checkpoint = Checkpoint(write_model(tmp_path / "model", family, **config))
    reference = load_reference(checkpoint.folder)
    tokens, logprobs = run_openvino(checkpoint, "f16", tmp_path / "cache")
    wanted = token_logprobs(reference, PROMPT).numpy()
    assert np.abs(logprobs - wanted).max() <= 1e-2
    assert np.abs((logprobs - wanted) / wanted).max() <= 1e-2
    assert tokens == greedy(reference, PROMPT, 16)


@pytest.mark.parametrize(("weights", "tolerance"), [("q8_0", 0.1), ("q4_0", 1.5)])
def test_quantised_weights_stay_near(tmp_path: Path, tiny_llama: Path, weights: str, tolerance: float) -> None:
    _, logprobs = run_openvino(Checkpoint(tiny_llama), weights, tmp_path)
    wanted = token_logprobs(load_reference(tiny_llama), PROMPT).numpy()
    assert np.abs(logprobs - wanted).max() <= tolerance
    assert np.abs(logprobs - wanted).mean() <= tolerance / 4


def write_adapter(folder: Path, model: Path, **config: Any) -> Path:
    """A LoRA of rank 4 on q and down projections, and a whole new final norm."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if "q_proj" in name or "down_proj" in name:
            module = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{module}.lora_A.weight"] = 0.2 * torch.randn(4, weight.shape[1], generator=generator)
            tensors[f"{module}.lora_B.weight"] = 0.2 * torch.randn(weight.shape[0], 4, generator=generator)
    tensors["base_model.model.model.norm.weight"] = torch.full((64,), 1.5)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 16, "bias": "none"}
    modules = {"target_modules": ["q_proj", "down_proj"], "modules_to_save": ["norm"], "base_model_name_or_path": ""}
    (folder / "adapter_config.json").write_text(json.dumps(settings | modules | config), encoding="utf-8")
    return folder


def merge_by_hand(model: Path, adapter: Path, target: Path, scale: float) -> Path:
    weights, lora = load_file(model / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    merged = {}
    for name, weight in weights.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        merged[name] = weight.float()
        if f"{module}.lora_A.weight" in lora:
            merged[name] = weight.float() + scale * (lora[f"{module}.lora_B.weight"] @ lora[f"{module}.lora_A.weight"])
    merged["model.norm.weight"] = lora["base_model.model.model.norm.weight"]
    target.mkdir()
    for path in model.iterdir():
        if path.suffix != ".safetensors":
            (target / path.name).write_bytes(path.read_bytes())
    save_file(merged, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize(("config", "scale"), [({}, 4.0), ({"use_rslora": True}, 8.0)])
def test_adapter_is_merged(tmp_path: Path, tiny_llama: Path, config: dict[str, Any], scale: float) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_llama, **config)
    reference = load_reference(merge_by_hand(tiny_llama, adapter, tmp_path / "merged", scale))
    tokens, logprobs = run_openvino(Checkpoint(tiny_llama, adapter), "f16", tmp_path / "cache")
    assert np.abs(logprobs - token_logprobs(reference, PROMPT).numpy()).max() <= 2e-2
    assert tokens[:8] == greedy(reference, PROMPT, 8)


def test_bfloat16_checkpoints_are_read_exactly(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", dtype=torch.bfloat16)
    checkpoint = Checkpoint(folder)
    for name, tensor in load_file(folder / "model.safetensors").items():
        assert tensor.dtype == torch.bfloat16
        assert np.array_equal(checkpoint.read(name), tensor.float().numpy())


def test_same_checkpoint_is_written_once_and_leaves_no_scraps(tmp_path: Path, tiny_llama: Path) -> None:
    first = gguf_export.export(Checkpoint(tiny_llama), "f16", tmp_path)
    written = first.stat().st_mtime_ns
    assert gguf_export.export(Checkpoint(tiny_llama), "f16", tmp_path) == first
    assert first.stat().st_mtime_ns == written
    assert gguf_export.export(Checkpoint(tiny_llama), "q8_0", tmp_path) != first
    assert not list((tmp_path / "gguf").glob(".writing-*"))


def test_failed_export_leaves_nothing(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight"):
        gguf_export.export(Checkpoint(folder), "f16", tmp_path / "cache")
    assert not list((tmp_path / "cache" / "gguf").iterdir())


@pytest.mark.parametrize(
    ("family", "config", "reason"),
    [
        ("gpt2", {"n_embd": 64, "n_layer": 1, "n_head": 4}, "GPT2LMHeadModel is not"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
            "rotary embedding is scaled",
        ),
        ("mistral", {"sliding_window": 64}, "sliding window"),
    ],
)
def test_what_the_reader_would_get_wrong_is_refused(tmp_path: Path, family: str, config: dict[str, Any], reason: str) -> None:
    checkpoint = Checkpoint(write_model(tmp_path / "model", family, **config))
    with pytest.raises(gguf_export.Unsupported, match=reason):
        gguf_export.export(checkpoint, "f16", tmp_path)


def test_format_follows_size(tiny_llama: Path) -> None:
    checkpoint = Checkpoint(tiny_llama)
    assert gguf_export.choose_format(checkpoint, "auto") == "f16"
    checkpoint.parameters = gguf_export.LARGE_MODEL
    assert gguf_export.choose_format(checkpoint, "auto") == "q8_0"
    assert gguf_export.choose_format(checkpoint, "q4_0") == "q4_0"


def test_sentencepiece_vocabulary_is_respelled_in_bytes(tmp_path: Path) -> None:
    content = {
        "model": {"vocab": {"▁the": 0, "<0x0A>": 1, "书": 2}, "merges": ["▁t he"]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}]},
        "added_tokens": [{"id": 3, "content": "<s>", "special": True}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    vocabulary = Vocabulary(tmp_path, 5)
    assert vocabulary.tokens == [spell(b" the"), spell(b"\n"), spell("书".encode()), "<s>", "[unused4]"]
    assert vocabulary.merges == [f"{spell(b' t')} he"]

"""Model families (S8.5): each that transformers has learns with all weights and with LoRA; the others are named with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.models.folder import check_folder
from workers.spec.errors import UserError
from workers.spec.train import SftSpec
from workers.train import models
from workers.train.sft import SftJob

Maker = Callable[..., tiny.Run]
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "internlm3": {},
    "mistral": {"sliding_window": 8},
    "gemma": {"hidden_activation": "gelu_pytorch_tanh"},
    "gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 8, "query_pre_attn_scalar": 8},
    "phi": {},
    "phi3": {},
    "glm": {},
    "glm4": {},
    "starcoder2": {},
    "olmo2": {},
    "granite": {},
    "cohere": {},
    "stablelm": {},
    "smollm3": {},
    "gpt_neox": {},
}
UNSUPPORTED = ["baichuan", "chatglm", "internlm", "qwen"]
"""Their code lies beside their weights, and code from model folders is never run."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: Path) -> Path:
    template = load_template(tokenizer)
    torch.manual_seed(0)
    known = {key: value for key, value in SHAPE.items() if request.param not in ("phi", "gpt_neox") or key != "head_dim"}
    config = CONFIG_MAPPING[request.param](**{**known, **FAMILIES[request.param], "vocab_size": template.vocabulary_size})
    folder = tmp_path / request.param
    folder.mkdir()
    models.save_model(AutoModelForCausalLM.from_config(config), folder, source=tokenizer, template=template)
    return folder


def test_a_family_learns_with_all_weights_and_with_lora(sft: Maker, family: Path) -> None:
    rows = tiny.conversations(16)
    given = {"tokens_per_step": 4096, "learning_rate": 0.003}
    for method in ("full", "lora"):
        run = sft(method, rows=rows, model=tiny.model(family), method=method, lora={"rank": 4}, optimisation=given)
        with run.prepared(SftJob, SftSpec) as job:
            loop = job.loop()
            loop.step()
            first = loop.count.final_loss
            loop.step()
            loop.step()
            assert loop.count.final_loss < first
            folder = job.policy.save()
        assert any(folder.glob("*.safetensors"))


@pytest.mark.parametrize("family", UNSUPPORTED)
def test_families_that_need_code_of_their_own_are_refused_with_the_reason(base: Path, tmp_path: Path, family: str) -> None:
    folder = tmp_path / family
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    own = {"model_type": family, "architectures": ["Own"], "auto_map": {"AutoModelForCausalLM": "modeling.Own"}}
    (folder / "config.json").write_text(json.dumps(own), encoding="utf-8")
    with pytest.raises(UserError, match="needs Python code of its own"):
        check_folder(folder)
    with pytest.raises(UserError, match="cannot be opened"):
        models.load_model(folder)

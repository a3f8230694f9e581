"""InternLM2 checkpoints come in as Llama (S8.5): the same numbers in other places, and the same answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.workers.models.test_program import folder_inputs, import_spec
from tests.workers.models.tiny import HIDDEN, LAYERS, run_program, write_model
from workers.models.internlm2 import NAMES

HEADS, KEY_HEADS = 4, 2
SIZE = HIDDEN // HEADS


def write_internlm2(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder as InternLM's own code writes it, and the Llama tensors that it must become."""
    write_model(folder, num_key_value_heads=KEY_HEADS, tie_word_embeddings=False)
    wanted = load_file(folder / "model.safetensors")
    dice = np.random.default_rng(3)
    for layer in range(LAYERS):
        for letter in "kv":
            shape = (KEY_HEADS * SIZE, HIDDEN)
            wanted[f"model.layers.{layer}.self_attn.{letter}_proj.weight"] = dice.normal(0, 0.05, shape).astype(np.float32)
    wanted["lm_head.weight"] = wanted["model.embed_tokens.weight"] * 2
    theirs = {_their_name(name): tensor for name, tensor in wanted.items() if "self_attn" not in name or "o_proj" in name}
    for layer in range(LAYERS):
        q, k, v = (wanted[f"model.layers.{layer}.self_attn.{letter}_proj.weight"] for letter in "qkv")
        rows: list[np.ndarray] = []
        for head in range(KEY_HEADS):  # the query heads of a key head, its key, its value
            rows += [*np.split(q, HEADS)[2 * head : 2 * head + 2], np.split(k, KEY_HEADS)[head], np.split(v, KEY_HEADS)[head]]
        theirs[f"model.layers.{layer}.attention.wqkv.weight"] = np.concatenate(rows)
    save_file(theirs, folder / "model.safetensors", {"format": "pt"})
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    own = {"auto_map": {"AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"}, "bias": False}
    config |= {"model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"], **own}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, wanted


def _their_name(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name.replace("lm_head.", "output.")


def test_internlm2_is_imported_as_llama_bit_for_bit(tmp_path: Path) -> None:
    from workers.train.models import load_model

    source, wanted = write_internlm2(tmp_path / "in" / "internlm2")
    code, result, _ = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert code == 0, result
    assert result["facts"]["architecture"] == "LlamaForCausalLM"
    made = tmp_path / "output" / "model"
    found = load_file(made / "model.safetensors")
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor)
    assert load_model(made).config.num_key_value_heads == KEY_HEADS
    assert "auto_map" not in json.loads((made / "config.json").read_text())


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    source, _ = write_internlm2(tmp_path / "in" / "internlm2")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 4}))
    code, error, _ = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert (code, error["code"]) == (2, "model.odd_internlm2")
    assert not (tmp_path / "output" / "model").exists()


@pytest.mark.parametrize("name", ["model.layers.0.attention.wo.weight", "model.tok_embeddings.weight"])
def test_names_of_both_sides_are_told_apart(name: str) -> None:
    from workers.models.internlm2 import _renamed

    (renamed,) = _renamed(name, np.zeros(1), {})
    assert _their_name(renamed) == name

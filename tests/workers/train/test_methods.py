"""Full, LoRA with its variants and QLoRA: each begins as the base, learns, and can be added into the base."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.workers.train import tiny
from workers.models.merging import merge
from workers.spec.train import SftSpec
from workers.train import models
from workers.train.network import Network
from workers.train.packing import Documents
from workers.train.quantise import quantise_blocks
from workers.train.sft import SftJob

Maker = Callable[..., tiny.Run]
FAST: dict[str, Any] = {"epochs": 2, "optimisation": {"tokens_per_step": 256, "learning_rate": 0.01}, "held_out_fraction": 0.2}
LORAS = [("lora", "none"), ("lora", "rslora"), ("lora", "dora"), ("lora", "pissa"), ("qlora", "none"), ("qlora", "pissa")]


def probe() -> Documents:
    dice = np.random.default_rng(0)
    return Documents.of([(dice.integers(0, 300, 20).tolist(), None)])


def losses(core: Any, precision: Any = "float32") -> np.ndarray:
    return Network(core, torch.device("cpu"), precision).token_losses(probe(), np.arange(1))[1]


@pytest.mark.parametrize(("method", "variant"), LORAS)
def test_an_adapter_begins_as_the_base_and_learns(sft: Maker, base: Path, method: str, variant: str) -> None:
    """S8.1: with B = 0 (PiSSA: with the rest of each weight) the first logits are those of the base."""
    run = sft(method=method, lora={"variant": variant, "rank": 4}, **FAST)
    core = models.load_model(base).float()
    if method == "qlora":
        quantise_blocks(core, torch.device("cpu"), torch.float32)
    expected = losses(core)
    with run.prepared(SftJob, SftSpec) as job:
        found = job.network.token_losses(probe(), np.arange(1))[1]
    if (method, variant) == ("qlora", "pissa"):  # the rest of a weight has other four bits than the weight
        assert found.mean() == pytest.approx(losses(models.load_model(base).float()).mean(), abs=0.3)
    else:
        np.testing.assert_allclose(found, expected, atol=2e-5)
    result = sft("whole", method=method, lora={"variant": variant, "rank": 4}, **FAST).here()
    assert result["method"] == method
    assert result["held_out_loss"] < result["first_held_out_loss"] - 0.5


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize(("method", "variant"), LORAS)
def test_the_saved_adapter_added_into_the_base_is_what_was_trained(
    sft: Maker, base: Path, tmp_path: Path, method: str, variant: str
) -> None:
    """S7.4: the adapter is an ordinary peft folder, merged into safetensors by the product's own program."""
    run = sft(method=method, lora={"variant": variant, "rank": 4}, **FAST)
    with run.prepared(SftJob, SftSpec) as job:
        loop = job.loop()
        job.session.run_loop(loop)
        trained = job.network.token_losses(probe(), np.arange(1))[1]
        job.save(loop)
    merge(base=base, adapter=run.folder / "out" / "adapter", target=tmp_path / "merged")
    merged = losses(models.load_model(tmp_path / "merged").float())
    if method == "lora":
        np.testing.assert_allclose(merged, trained, atol=1e-4)
    else:
        assert merged.mean() == pytest.approx(trained.mean(), abs=0.3)


def test_pissa_takes_the_largest_directions_and_resumes_from_the_same(sft: Maker, base: Path) -> None:
    run = sft(method="lora", lora={"variant": "pissa", "rank": 4}, **FAST)
    run.here()
    config = json.loads((run.folder / "out/adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"]) == (8, 16)
    first = load_file(run.folder / "pissa.safetensors")
    name = next(name for name in first if name.endswith("q_proj.lora_A.weight"))
    weight = load_file(base / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    values = torch.linalg.svdvals(weight)
    scaled = first[name.replace("lora_A", "lora_B")] @ first[name] * 2
    assert torch.linalg.svdvals(scaled)[:4] == pytest.approx(values[:4], rel=1e-4)


def test_four_bit_weights_take_a_quarter_of_the_memory(sft: Maker) -> None:
    """S8.1: QLoRA on a CPU, nf4 with double quantisation."""
    whole = sft("half", method="lora", **FAST).here()["memory"]["weights"]
    small = sft("four", method="qlora", **FAST).here()
    assert small["resolved"]["method"] == "qlora"
    assert small["parameters"] == small["resolved"]["parameters"]
    assert small["memory"]["weights"] < 0.75 * whole  # embeddings and the adapter stay as they are


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "adafactor"])
def test_other_optimisers_learn_and_resume_exactly(sft: Maker, monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    from workers.program import Stopped
    from workers.train.loop import Loop

    settings = {**FAST, "method": "full", "optimisation": {**FAST["optimisation"], "optimizer": optimizer}}
    whole = sft("whole", **settings)
    result = whole.here()
    assert result["final_loss"] < result["first_held_out_loss"] - 0.3
    original, broken = Loop.step, sft("broken", **settings)

    def step(loop: Loop) -> None:
        original(loop)
        loop.program.should_stop = loop.count.step == 5

    monkeypatch.setattr(Loop, "step", step)
    with pytest.raises(Stopped):
        broken.here()
    assert broken.next_attempt().here()["weights_sha256"] == result["weights_sha256"]


def test_the_best_weights_are_kept_and_a_stale_run_stops(sft: Maker) -> None:
    """A rate that soon overfits: the run ends early, and the finished model is the best one seen."""
    rows = tiny.conversations(60)
    asked = {"evaluate_every_steps": 2, "keep_best": True, "early_stop": 3}
    run = sft(rows=rows, method="full", epochs=200, held_out_fraction=0.3, saving=asked, optimisation={"learning_rate": 0.05})
    result = run.here()
    curve = run.curve("held_out_loss")
    assert result["best_step"] == min(curve, key=lambda step: curve[step])
    assert max(curve) == result["steps"] == result["best_step"] + 6
    made = Network(models.load_model(run.folder / "out/model").float(), torch.device("cpu"), "float32")
    with run.prepared(SftJob, SftSpec) as job:
        loss, count = made.loss_sum(job.aside, np.arange(len(job.aside)))
    assert float(loss.detach()) / count == pytest.approx(curve[result["best_step"]], rel=1e-3)


def test_what_the_program_chose_is_told_and_can_be_overridden(sft: Maker) -> None:
    """S8.4: layout, precision, method, recomputing and offload are chosen for the machine; a setting takes their place."""
    left_open = {key: value for key, value in FAST.items() if key != "method"}
    chosen = sft("chosen", **left_open).here()
    assert chosen["resolved"]["layout"] == "packed"
    told = {"method", "precision", "recompute", "offload_activations", "device", "micro_batch_tokens", "learning_rate"}
    assert told <= chosen["resolved"].keys()
    other = {"bfloat16": "float32", "float32": "bfloat16"}[chosen["resolved"]["precision"]]
    method = {"full": "lora", "lora": "full"}[chosen["resolved"]["method"]]
    overriding = {**FAST["optimisation"], "precision": other, "gradient_checkpointing": "on"}
    resolved = sft("set", **{**left_open, "method": method, "optimisation": overriding}).here()["resolved"]
    assert (resolved["method"], resolved["precision"], resolved["recompute"]) == (method, other, True)


def test_recomputing_is_chosen_by_the_user(sft: Maker) -> None:
    settings = {**FAST, "method": "lora"}
    plain = sft("plain", **settings).here()
    asked = sft("asked", **{**settings, "optimisation": {**FAST["optimisation"], "gradient_checkpointing": "on"}}).here()
    assert (plain["resolved"]["recompute"], asked["resolved"]["recompute"]) == (False, True)
    assert asked["final_loss"] == pytest.approx(plain["final_loss"], rel=1e-4)
    assert asked["memory"]["activations"] != plain["memory"]["activations"]


def test_a_run_tells_its_speed_and_memory(sft: Maker) -> None:
    """S7.2, S7.6: FLOP per second, share of the machine's peak, memory by part."""
    run = sft(method="full", **FAST)
    memory = run.here()["memory"]
    assert memory["gradients"] == memory["weights"]
    assert memory["optimizer"] == pytest.approx(2 * memory["weights"], rel=0.01)
    assert memory["activations"] > 0 < memory["peak"]
    assert run.samples("memory") == [{"parts": memory}]
    for name in ("grad_norm", "learning_rate", "tokens_per_second", "teraflops", "mfu"):
        assert all(value > 0 for value in run.curve(name).values()), name

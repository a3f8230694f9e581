import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workers.train import tiny
from workers.spec.errors import UserError

Maker = Callable[..., tiny.Run]


def test_a_model_from_scratch_learns_and_opens_in_transformers(pretrain: Maker) -> None:
    run = pretrain(epochs=6, optimisation={"tokens_per_step": 256, "learning_rate": 5e-3})
    result = run.here()
    losses = run.curve("held_out_loss")
    assert losses[max(losses)] < 0.6 * losses[0]
    folder = run.folder / "out/model"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.config.architectures == ["LlamaForCausalLM"]
    ids = tokenizer("The lamp in", return_tensors="pt").input_ids
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    assert len(tokenizer.decode(written[0])) > len("The lamp in")
    assert result["parameters"] == sum(item.numel() for item in model.parameters())
    assert result["context_length"] == 128
    assert result["resolved"]["versions"]["torch"] == torch.__version__
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second"} <= set(run.events("metric")[-2]["values"])
    assert run.events("progress")[-1]["done"] == result["steps"]


def test_long_documents_are_cut_and_nothing_is_lost(pretrain: Maker) -> None:
    rows = [{"id": str(number), "text": "word " * 300} for number in range(4)]
    result = pretrain(rows=rows, epochs=1, held_out_fraction=0).here()
    assert result["cut_documents"] == 4
    assert result["tokens"] >= 4 * 301


def test_conversations_are_pre_trained_through_the_chat_template(pretrain: Maker) -> None:
    result = pretrain(rows=tiny.passages(50) + tiny.conversations(50), epochs=1).here()
    assert result["documents"] >= 90


def test_pre_training_goes_on_from_a_base_in_its_own_precision(pretrain: Maker, base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, local_files_only=True)
    half = tmp_path / "half"
    model.save_pretrained(half)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (half / name).write_bytes((base / name).read_bytes())
    run = pretrain(epochs=2, architecture=None, base_model=1)
    run.inputs = {"dataset": run.inputs["dataset"], "base_model": tiny.model(half)}
    result = run.here()
    assert result["held_out_loss"] < result["first_held_out_loss"]
    assert json.loads((run.folder / "out/model/config.json").read_text())["dtype"] == "bfloat16"


def test_a_token_budget_and_a_time_budget_are_kept(pretrain: Maker) -> None:
    result = pretrain("tokens", token_budget=5000, optimisation={"tokens_per_step": 250}).here()
    assert result["tokens"] == pytest.approx(5000, rel=0.1)
    timed = pretrain("time", epochs=100_000, time_budget_seconds=3).here()
    assert 0 < timed["tokens"] < 1000 * result["tokens"], "100,000 epochs would be many times as much"


def test_shapes_that_no_head_can_share_are_refused(pretrain: Maker) -> None:
    with pytest.raises(UserError, match="even whole number"):
        pretrain(architecture={**tiny.TINY, "heads": 5}).here()


def test_datasets_without_text_are_refused(pretrain: Maker) -> None:
    with pytest.raises(UserError, match="no text to learn"):
        pretrain(rows=[{"id": "1", "label": "x"}]).here()


def test_a_loss_that_is_no_number_ends_the_run_with_advice(pretrain: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.train.network import Network

    monkeypatch.setattr(Network, "learn", lambda *_: float("nan"))
    run = pretrain(epochs=1)
    with pytest.raises(UserError, match="Lower the learning rate"):
        run.here()


def test_two_runs_of_one_spec_give_the_same_weights(pretrain: Maker) -> None:
    first, second = pretrain("one", epochs=1).here(), pretrain("two", epochs=1).here()
    assert first["weights_sha256"] == second["weights_sha256"]
    assert np.isfinite(first["final_loss"])

"""The planner beside the real trainer: bytes by part as the trainer measures them, on models small enough for a test (S7.6).

Resident memory of whole runs is compared by benchmarks/bench_planner.py.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_planner import configurations
from tests.workers.train import tiny
from workers.planner.memory import predict_memory
from workers.planner.plan import TrainingPlan
from workers.planner.shape import shape_from_config

PER_STEP = 512


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    return tiny.make_base(folder / "base", tiny.make_tokenizer(folder / "tokenizer"))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_parts_are_what_the_trainer_measures(tmp_path: Path, base: Path, method: str) -> None:
    rows = tiny.conversations(200)
    inputs = {"dataset": tiny.dataset(tmp_path / "data.jsonl", rows), "base_model": tiny.model(base)}
    settings: dict[str, Any] = {
        "name": "run", "base_model": 1, "datasets": [1], "method": method, "epochs": 0.5, "held_out_fraction": 0,
        "lora": {"rank": 8}, "optimisation": {"tokens_per_step": PER_STEP, "precision": "float32"},
    }  # fmt: skip
    run = tiny.Run(tmp_path / "run", "sft", settings, inputs)
    result = run.here()
    measured = run.samples("memory")[0]["parts"]
    shape = shape_from_config(json.loads((base / "config.json").read_text()))
    assert shape is not None
    tokens = round(result["tokens"] / result["steps"])
    plan = TrainingPlan(method=method, sequence=64, tokens=tokens, precision="float32", rank=8, stored_bytes=4)  # type: ignore[arg-type]
    parts = predict_memory(shape, plan).parts
    extra = len(result["resolved"].get("untrained_tokens") or []) * shape.hidden  # embeddings of unlearnt chat tokens
    for name, more in (("weights", 4 * extra), ("gradients", 4 * extra), ("optimizer", 8 * extra)):
        assert parts[name] + more == pytest.approx(measured[name], rel=0.1), name
    assert parts["activations"] == pytest.approx(measured["activations"], rel=0.2)


def test_the_benchmark_covers_thirty_configurations() -> None:
    cases = list(configurations())
    assert len(cases) >= 30
    assert {case["method"] for case in cases} == {"full", "lora", "qlora"}
    assert {case["checkpointing"] for case in cases} == {True, False}

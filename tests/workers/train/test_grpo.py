"""Reinforcement with rewards that can be checked (S8.2): the gradient is the policy gradient, and right answers get likelier."""

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.workers.train import tiny
from tests.workers.train.members import STOPPED, assert_same, run_together
from workers.data.templates import load_template
from workers.program import EXIT_BAD_INPUT, Stopped
from workers.spec.errors import UserError
from workers.spec.train import GrpoSpec
from workers.train.grpo import GrpoJob
from workers.train.launch import PEER_LOST
from workers.train.loop import Loop

Maker = Callable[..., tiny.Run]
FAST: dict[str, Any] = {"answers": 8, "questions_per_step": 4, "max_new_tokens": 6, "held_out_fraction": 0.3}


QUESTIONS = [{"role": "user", "content": f"Is it true? ({number})"} for number in range(60)]


def answered(answers: list[str]) -> list[dict[str, Any]]:
    return [
        {"id": str(at), "messages": [question, {"role": "assistant", "content": answer}]}
        for at, (question, answer) in enumerate(zip(QUESTIONS, answers, strict=True))
    ]


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A model that learnt to answer «yes» or «no» at random."""
    dice, folder = random.Random(5), tmp_path_factory.mktemp("undecided")
    rows = tiny.dataset(folder / "rows.jsonl", answered([dice.choice(["yes", "no"]) for _ in QUESTIONS]))
    learning = {"learning_rate": 0.01, "tokens_per_step": 256}
    spec = {"name": "x", "base_model": 1, "datasets": [1], "method": "full", "epochs": 8, "optimisation": learning}
    run = tiny.Run(folder / "run", "sft", spec, {"dataset": rows, "base_model": tiny.model(base)})
    run.here()
    return run.folder / "out/model"


@pytest.fixture
def grpo(preference: Maker, undecided: Path) -> Maker:
    """Reinforcement of that model; the right answer is always «yes»."""

    def make(name: str = "grpo", **spec: Any) -> tiny.Run:
        run = preference(name, rows=answered(["yes"] * len(QUESTIONS)), kind="grpo", **{**FAST, **spec})
        run.inputs["base_model"] = tiny.model(undecided)
        return run

    return make


@pytest.mark.parametrize("method", ["full", "lora"])
def test_right_answers_become_likelier(grpo: Maker, method: str) -> None:
    rate = {"optimisation": {"learning_rate": 0.003 if method == "full" else 0.02}}
    run = grpo(method=method, lora={"rank": 4}, steps=14, beta=0.01, **rate)
    result = run.here()
    rewards = run.curve("reward")
    assert rewards[1] < 0.8
    assert np.mean([rewards[step] for step in (12, 13, 14)]) > 0.9
    assert result["held_out_reward"] == 1.0
    assert load_template(run.folder / "out" / ("model" if method == "full" else "adapter")).hash == result["template_hash"]
    assert {"text", "reward"} == set(run.samples("group")[0]["answers"][0])


def test_the_gradient_is_that_of_the_advantage_weighted_log_probabilities(grpo: Maker) -> None:
    run = grpo(method="full", temperature=0.7)
    with run.prepared(GrpoJob, GrpoSpec) as job:
        objective, units = job.loop().objective, np.array([0, 1, 2])
        objective.begin(0, units)
        weight = float(objective.weights[units].sum())
        objective.learn(units, 1 / weight)
        parameters = list(job.network.core.parameters())
        found = [item.grad.clone() for item in parameters]
        job.network.core.zero_grad()
        total = torch.zeros(())
        for unit in units.tolist():
            documents, advantages = objective._drawn[unit]
            assert advantages.mean() == pytest.approx(0, abs=1e-6)
            for index, advantage in enumerate(advantages):
                one = documents.select(np.array([index]))
                ids = torch.from_numpy(one.tokens.astype(np.int64))
                logits = job.network.core(input_ids=ids[None]).logits[0, :-1] / 0.7
                each = torch.log_softmax(logits, 1).gather(1, ids[1:, None])[:, 0]
                total = total - float(advantage) * each[torch.from_numpy(one.learnt[1:])].sum() / weight
        total.backward()
    for gradient, item in zip(found, parameters, strict=True):
        torch.testing.assert_close(gradient, item.grad, rtol=1e-3, atol=1e-5)


def test_stopped_and_resumed_the_same_answers_are_drawn(grpo: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = grpo("whole", steps=5), grpo("broken", steps=5)
    expected = whole.here()
    original = Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        loop.program.should_stop = loop.count.step == 2

    monkeypatch.setattr(Loop, "step", step)
    with pytest.raises(Stopped):
        broken.here()
    assert broken.next_attempt().here()["weights_sha256"] == expected["weights_sha256"]
    assert broken.curve("reward") == whole.curve("reward")


def test_a_dataset_without_reference_answers_is_refused(preference: Maker) -> None:
    with pytest.raises(UserError, match="None of the 5 records can be asked"):
        preference(rows=tiny.passages(5), kind="grpo").here()


SHARED: dict[str, Any] = {"method": "full", "steps": 5, "questions_per_step": 3, "saving": {"every_steps": 2}}
LEARNING: dict[str, Any] = {"learning_rate": 0.003, "precision": "float32"}


def assert_same_answers(found: tiny.Run, expected: tiny.Run) -> None:
    """Rewards and lengths of drawn answers are the same numbers, for the very same tokens are drawn."""
    for name in ("reward", "answer_tokens", "even_groups", "held_out_reward"):
        assert found.curve(name) == expected.curve(name), name
    told = [{group["step"]: group["answers"] for group in run.samples("group")} for run in (found, expected)]
    assert told[0] == told[1]


@pytest.mark.parametrize("shard", ["none", "zero2", "zero3"])
def test_two_processes_draw_and_learn_as_one(grpo: Maker, shard: str) -> None:
    """S7.1, S8.2: three questions for two processes; no process draws what another one does."""
    alone, two = (grpo(name, beta=0.02, optimisation=LEARNING, **SHARED) for name in ("alone", "two"))
    alone.here()
    two.spec["parallel"] = {"processes": 2, "shard": shard}
    assert run_together(two, 2) == [0, 0]
    assert_same_answers(two, alone)
    assert_same(two, alone)


@pytest.mark.parametrize("shard", ["none", "zero3"])
def test_an_adapter_of_two_processes_is_that_of_one(grpo: Maker, shard: str) -> None:
    """Held to the base by putting the adapter aside; a step of one question leaves a process without any of its own."""
    settings = {**SHARED, "method": "lora", "questions_per_step": 1, "beta": 0.02, "optimisation": LEARNING}
    alone, two = grpo("alone", **settings), grpo("two", **settings)
    alone.here()
    two.spec["parallel"] = {"processes": 2, "shard": shard}
    assert run_together(two, 2) == [0, 0]
    assert_same_answers(two, alone)
    adapters = [load_file(run.folder / "out/adapter/adapter_model.safetensors") for run in (two, alone)]
    assert set(adapters[0]) == set(adapters[1])
    for name, item in adapters[0].items():
        np.testing.assert_allclose(item, adapters[1][name], atol=2e-3)


def test_groups_that_teach_nothing_keep_nobody_waiting(grpo: Maker) -> None:
    """Without a beta, groups of equal answers are not run; a process that has no others still takes part in the sum."""
    settings = {**SHARED, "answers": 2, "questions_per_step": 2, "optimisation": LEARNING}
    alone, two = grpo("alone", **settings), grpo("two", **settings)
    alone.here()
    even = set(alone.curve("even_groups").values())
    assert 0.5 in even, "one process must have something to learn and the other nothing"
    two.spec["parallel"] = {"processes": 2}
    assert run_together(two, 2) == [0, 0]
    assert_same_answers(two, alone)
    assert_same(two, alone)


def test_stopped_by_two_killed_with_two_and_ended_by_one(grpo: Maker) -> None:
    """N4: a run goes on from its last checkpoint with any number of processes, and draws the same answers."""
    alone, run = (grpo(name, optimisation=LEARNING, **SHARED) for name in ("alone", "run"))
    alone.here()
    run.spec["parallel"] = {"processes": 2}
    assert run_together(run, 2, stop_at=1) == [STOPPED, STOPPED]
    assert run_together(run.next_attempt(), 2, die_at=3) == [PEER_LOST, -signal.SIGKILL]
    assert not run.events("error")
    run.spec["parallel"] = {}
    run.next_attempt().here()
    assert [event["step"] for event in run.events("resumed")] == [1, 2]
    assert_same_answers(run, alone)
    assert_same(run, alone)


def test_one_answer_over_several_processes_is_refused(grpo: Maker) -> None:
    run = grpo(parallel={"processes": 2, "sequence": 2}, **SHARED)
    assert run.start().wait() in (1, EXIT_BAD_INPUT)
    assert [event["code"] for event in run.events("error")] == ["train.sequence_not_for_method"]

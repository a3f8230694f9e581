"""Preference training (S8.2): the papers' losses to the digit, measured gains on held-out pairs, exact resume."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForSequenceClassification

from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.program import Stopped
from workers.spec.errors import UserError
from workers.spec.train import PreferenceSpec
from workers.train import models
from workers.train.loop import Loop
from workers.train.preference import PreferenceJob

Maker = Callable[..., tiny.Run]
LOSSES = ["dpo", "orpo", "simpo", "kto"]
FAST: dict[str, Any] = {"epochs": 2, "held_out_fraction": 0.3, "optimisation": {"tokens_per_step": 512, "learning_rate": 3e-3}}


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def answers_alone(core: Any, job: PreferenceJob, documents: Any) -> list[tuple[float, int]]:
    """(log-probability, tokens) of each answer, from the model's own forward pass over one document."""
    found = []
    for index in range(len(documents)):
        one = documents.select(np.array([index]))
        ids = torch.from_numpy(one.tokens.astype(np.int64))
        with torch.no_grad():
            each = log_softmax(core(input_ids=ids[None]).logits[0, :-1].float(), 1).gather(1, ids[1:, None])[:, 0]
        learnt = torch.from_numpy(one.learnt[1:])
        found.append((float(each[learnt].sum()), int(learnt.sum())))
    return found


def expected_loss(loss: str, policy: list[tuple[float, int]], reference: list[tuple[float, int]], good: list[bool]) -> float:
    """The mean loss, written down from the papers."""
    if loss == "kto":
        anchor = max(0.0, np.mean([p[0] - r[0] for p, r in zip(policy[1::2], reference[1::2], strict=True)]))
        ratios = [p[0] - r[0] for p, r in zip(policy[::2], reference[::2], strict=True)]
        signs = [1 if verdict else -1 for verdict in good]
        return float(np.mean([1 - 1 / (1 + math.exp(-0.1 * s * (r - anchor))) for s, r in zip(signs, ratios, strict=True)]))
    losses = []
    for at in range(0, len(policy), 2):
        (chosen, n_chosen), (rejected, n_rejected) = policy[at : at + 2]
        mean_chosen, mean_rejected = chosen / n_chosen, rejected / n_rejected
        if loss == "dpo":
            losses.append(-log_sigmoid(0.1 * ((chosen - reference[at][0]) - (rejected - reference[at + 1][0]))))
        elif loss == "simpo":
            losses.append(-log_sigmoid(2 * (mean_chosen - mean_rejected) - 1))
        else:
            odds = [mean - math.log(1 - math.exp(mean)) for mean in (mean_chosen, mean_rejected)]
            losses.append(-mean_chosen - 0.1 * log_sigmoid(odds[0] - odds[1]))
    return float(np.mean(losses))


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_papers_formula(preference: Maker, base: Path, loss: str, method: str) -> None:
    """After two steps (when policy and reference differ) the loss of one step, packed, against one answer at a time."""
    run = preference(loss=loss, method=method, lora={"rank": 4}, **FAST)
    with run.prepared(PreferenceJob, PreferenceSpec) as job:
        loop = job.loop()
        loop.step()
        loop.step()
        objective, units = loop.objective, loop.plan.units_of(2)
        pairs = job.pairs.select(units)
        reference = answers_alone(models.load_model(base).float(), job, pairs.documents)
        job.network.core.config._attn_implementation = "sdpa"
        with job.network.evaluating():
            policy = answers_alone(job.network.core, job, pairs.documents)
        objective.begin(2, units)
        found = objective.learn(units, 1.0)["loss"] / len(units)
    good = [] if pairs.good is None else pairs.good.tolist()
    assert found == pytest.approx(expected_loss(loss, policy, reference, good), rel=1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("loss", LOSSES)
def test_held_out_preferences_are_learnt(preference: Maker, loss: str, method: str) -> None:
    """S8.2: reward accuracy and margin on pairs that were set aside."""
    run = preference(loss=loss, method=method, **{**FAST, "epochs": 4})
    result = run.here()
    margin = run.curve("held_out_margin")
    assert margin[max(margin)] > margin[0]
    assert result["held_out_accuracy"] >= 0.9
    assert result["held_out_loss"] < result["first_held_out_loss"]
    assert (run.folder / "out" / ("model" if method == "full" else "adapter")).is_dir()
    assert load_template(run.folder / "out" / ("model" if method == "full" else "adapter")).hash == result["template_hash"]


@pytest.mark.parametrize(("loss", "method"), [("dpo", "lora"), ("kto", "full")])
def test_stopped_and_resumed_the_losses_stay_the_same(
    preference: Maker, monkeypatch: pytest.MonkeyPatch, loss: str, method: str
) -> None:
    settings = {"loss": loss, "method": method, **FAST}
    whole, broken = preference("whole", **settings), preference("broken", **settings)
    expected = whole.here()
    original = Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        loop.program.should_stop = loop.count.step in (2, 5)

    monkeypatch.setattr(Loop, "step", step)
    for _ in range(2):
        with pytest.raises(Stopped):
            broken.here()
        broken.next_attempt()
    found = broken.here()
    assert broken.curve("loss") == whole.curve("loss")
    assert found["weights_sha256"] == expected["weights_sha256"]


def test_verdicts_on_single_answers_are_learnt_by_kto(preference: Maker) -> None:
    rows = [
        {"id": row["id"], "messages": [*row["messages"], *row[side]], "desirable": side == "chosen"}
        for row in tiny.preferences()
        for side in ("chosen", "rejected")
    ]
    result = preference(rows=rows, loss="kto", method="full", **{**FAST, "epochs": 4}).here()
    assert result["held_out_accuracy"] >= 0.8


def test_a_reward_model_prefers_what_people_chose(preference: Maker) -> None:
    """S8.2: a reward model as transformers' own class reads it; the chosen answer gets the higher number."""
    for method in ("full", "lora"):
        run = preference(method, kind="reward", method=method, **{**FAST, "epochs": 4})
        result = run.here()
        assert result["held_out_accuracy"] >= 0.9
        folder = run.folder / "out" / "model"
        made, template = AutoModelForSequenceClassification.from_pretrained(folder), load_template(folder)
        row = tiny.preferences(1)[0]
        ids = [template.encode(row["messages"] + row[side]).token_ids for side in ("chosen", "rejected")]
        with torch.no_grad():
            chosen, rejected = (float(made(input_ids=torch.tensor([one])).logits) for one in ids)
        assert chosen > rejected


def test_useless_rows_are_counted_and_a_dataset_without_pairs_is_refused(preference: Maker) -> None:
    good = tiny.preferences(30)
    same = {**good[0], "rejected": good[0]["chosen"]}
    run = preference(rows=[*good, same, {"id": "x", "messages": good[0]["messages"], "chosen": good[0]["chosen"]}], **FAST)
    dropped = run.here()["dropped"]
    assert dropped == {"chosen and rejected are the same": 1, "missing rejected": 1}
    long = {**good[1], "rejected": [{"role": "assistant", "content": "It is in Oslo. " * 40}]}
    shown = preference("long", rows=[*good, long], **FAST)
    assert shown.here()["dropped"] == {"longer than 128 tokens": 1}
    assert "Where is the" in shown.samples("dropped")[0]["row"]
    for loss in ("dpo", "kto"):
        with pytest.raises(UserError, match="this method needs"):
            preference(loss, rows=tiny.conversations(5), loss=loss).here()
    with pytest.raises(UserError, match="longer than 32 tokens"):
        preference("short", max_length=32).here()

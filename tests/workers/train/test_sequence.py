"""One sequence over several processes (S7.1, S7.3): the losses and weights of one process, or a refusal in one sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.workers.train import tiny
from tests.workers.train.members import STOPPED, assert_same, run_together
from workers.spec.errors import UserError
from workers.spec.train import PretrainSpec
from workers.train.packing import Documents
from workers.train.pretrain import PretrainJob
from workers.train.sequence import SharedSequence, check_sequence

Maker = Callable[..., tiny.Run]
LEARNING: dict[str, Any] = {"tokens_per_step": 256, "learning_rate": 0.003, "precision": "float32"}
SETTINGS: dict[str, Any] = {"method": "full", "epochs": 2, "held_out_fraction": 0.2, "optimisation": LEARNING}
TOGETHER: dict[str, Any] = {"processes": 2, "sequence": 2}


def rows() -> list[dict[str, Any]]:
    return tiny.conversations(60)


def test_two_processes_share_every_sequence_and_learn_as_one(sft: Maker) -> None:
    """Documents cut in the middle, recomputed layers, a stop and a resume under another sharing: one curve."""
    recomputed = {**SETTINGS, "optimisation": {**LEARNING, "gradient_checkpointing": "on"}}
    alone, shared = sft("alone", rows=rows(), **recomputed), sft("shared", rows=rows(), parallel=TOGETHER, **recomputed)
    alone.here()
    assert run_together(shared, 2, stop_at=3) == [STOPPED, STOPPED]
    shared.spec["parallel"] = {**TOGETHER, "shard": "zero3"}
    assert run_together(shared.next_attempt(), 2, stop_at=6) == [STOPPED, STOPPED]
    shared.spec["parallel"] = {}
    shared.next_attempt().here()
    assert [event["step"] for event in shared.events("resumed")] == [3, 6]
    assert_same(shared, alone)


def test_groups_share_sequences_and_steps(sft: Maker) -> None:
    """Four processes: two share each sequence, and the two pairs share each step."""
    alone, shared = sft("alone", rows=rows(), **SETTINGS), sft("shared", rows=rows(), **SETTINGS)
    alone.here()
    shared.spec["parallel"] = {"processes": 4, "sequence": 2}
    assert run_together(shared, 4) == [0] * 4
    assert_same(shared, alone)


def test_adapters_learn_over_shared_sequences(sft: Maker) -> None:
    settings = {**SETTINGS, "method": "lora"}
    alone, shared = sft("alone", rows=rows(), **settings), sft("shared", rows=rows(), parallel=TOGETHER, **settings)
    alone.here()
    assert run_together(shared, 2) == [0, 0]
    np.testing.assert_allclose(list(shared.curve("loss").values()), list(alone.curve("loss").values()), rtol=2e-3)
    adapters = [load_file(run.folder / "out/adapter/adapter_model.safetensors") for run in (shared, alone)]
    for name, item in adapters[0].items():
        np.testing.assert_allclose(item, adapters[1][name], atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fewer_heads_of_keys_than_processes_are_repeated(pretrain: Maker, precision: str) -> None:
    """Pre-training on whole documents of other lengths than a process's stretch."""
    settings: dict[str, Any] = {
        "architecture": {**tiny.TINY, "kv_heads": 1},
        "epochs": 1,
        "optimisation": {**LEARNING, "precision": precision},
        "rows": tiny.passages(61),
    }
    alone, shared = pretrain("alone", **settings), pretrain("shared", parallel=TOGETHER, **settings)
    alone.here()
    assert run_together(shared, 2) == [0, 0]
    tolerance = 2e-3 if precision == "float32" else 1e-2
    np.testing.assert_allclose(list(shared.curve("loss").values()), list(alone.curve("loss").values()), rtol=tolerance)


def test_stretches_cover_every_token_once() -> None:
    documents = Documents.of([([1, 2, 3], None), ([4, 5, 6, 7], [False, False, True, True])])
    places = np.array([0, 1, 4, 5])
    found = []
    for rank in range(3):
        shared = SharedSequence(3, rank, None)
        even = shared.evened(documents)
        assert even.starts.tolist() == [0, 3, 7, 9]
        assert not even.learnt[7:].any()
        positions, targets, count = shared.own(places, places, len(even.tokens))
        found += [(int(target), count) for target in targets[:count]]
        assert (positions[:count] + 3 * rank).tolist() == targets[:count].tolist()
    assert [place for place, _ in found] == places.tolist()


def test_what_cannot_be_shared_is_refused(pretrain: Maker, preference: Maker) -> None:
    with pytest.raises(UserError) as caught:
        pretrain(parallel={"processes": 1, "sequence": 2}).here()
    assert caught.value.code == "train.bad_sequence_group"
    run = pretrain(rows=tiny.passages(5))
    with run.prepared(PretrainJob, PretrainSpec) as job:
        for kind, packed, size, code in (
            ("pretrain", True, 3, "train.heads_not_divisible"),
            ("pretrain", False, 2, "train.sequence_needs_packing"),
            ("preference", True, 2, "train.sequence_not_for_method"),
        ):
            with pytest.raises(UserError) as caught:
                check_sequence(kind, job.network.core, packed, size)
            assert caught.value.code == code

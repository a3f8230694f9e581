"""Liger's kernels (S7.1): chosen for the machine and the model, shown, never where they are of no use."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.workers.train import tiny
from workers.train import liger, models
from workers.train.liger import reason_against, speed_up_on_gpu
from workers.train.network import Network
from workers.train.packing import Documents

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "family", "known", "reason"),
    [
        ("auto", GPU, "llama", ["llama", "qwen3"], ""),
        ("auto", GPU, "gpt_neox", ["llama"], "family unknown"),
        ("auto", GPU, "llama", [], "not installed"),
        ("auto", CPU, "llama", ["llama"], "no GPU"),
        ("off", GPU, "llama", ["llama"], "off"),
    ],
)
def test_kernels_are_chosen_for_the_machine(asked: str, device: torch.device, family: str, known: Any, reason: str) -> None:
    assert reason_against(asked, device, family, known) == reason


def test_without_the_package_no_family_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liger, "find_spec", lambda name: None)
    assert reason_against("auto", GPU, "llama") == "not installed"


def test_a_run_tells_which_kernels_it_had(sft: Callable[..., tiny.Run]) -> None:
    run = sft(rows=tiny.conversations(20), epochs=1, method="full")
    assert run.here()["resolved"]["kernels"] == "no GPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: no GPU")
def test_fused_kernels_learn_the_same(base: Any) -> None:
    pytest.importorskip("liger_kernel")
    documents = Documents.of([(list(range(3, 3 + size)), None) for size in (60, 31, 90)])
    found = []
    for asked in ("off", "auto"):
        network = Network(models.load_model(base).float(), GPU, "float32")
        assert speed_up_on_gpu(network, asked) == ("off" if asked == "off" else "liger")
        network.core.train()
        loss = network.learn(documents, np.arange(3), 0.01)
        found.append((loss, [item.grad.cpu() for item in network.core.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    for own, fused in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(own, fused, rtol=1e-2, atol=1e-3)

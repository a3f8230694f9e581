"""What lies in the host's memory instead of a GPU's (S7.1): the same numbers, without a GPU refused in one sentence."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.workers.train import tiny
from tests.workers.train.members import STOPPED, assert_same, run_together
from workers.spec.errors import UserError
from workers.spec.train import Optimisation, SftSpec
from workers.train import offload, recipe, session
from workers.train.figures import Memory
from workers.train.offload import check_offload, keep_activations_on_host
from workers.train.sft import SftJob

Maker = Callable[..., tiny.Run]
LEARNING: dict[str, Any] = {"tokens_per_step": 256, "learning_rate": 0.003, "precision": "float32"}
SETTINGS: dict[str, Any] = {"method": "full", "epochs": 2, "held_out_fraction": 0.2}
ON_HOST: dict[str, Any] = {**LEARNING, "offload_optimizer": "on"}


@pytest.fixture
def as_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "check_offload", lambda given, device: None)


@pytest.mark.parametrize("name", ["offload_activations", "offload_optimizer"])
def test_without_a_gpu_offloading_is_refused(sft: Maker, name: str) -> None:
    with pytest.raises(UserError) as caught:
        sft(optimisation={name: "on"}).here()
    assert caught.value.code == "train.offload_needs_gpu"


def test_only_adamw_steps_on_the_host() -> None:
    with pytest.raises(UserError) as caught:
        check_offload(Optimisation(offload_optimizer="on", optimizer="adafactor"), torch.device("cuda"))
    assert caught.value.code == "train.offload_needs_adamw"


@pytest.mark.parametrize("recompute", ["on", "off"])
def test_activations_on_the_host_give_the_same_gradients(sft: Maker, monkeypatch: pytest.MonkeyPatch, recompute: str) -> None:
    monkeypatch.setattr(offload, "LEAST", 1)
    run = sft(optimisation={**LEARNING, "gradient_checkpointing": recompute}, **SETTINGS)
    found = []
    with run.prepared(SftJob, SftSpec) as job:
        network = job.network
        for offloads in (False, True):
            if offloads:
                keep_activations_on_host(network.core)
            memory = Memory(network.device)
            with memory.counting(network.core):
                loss = network.learn(job.documents, job.documents.lengths.argsort()[-8:], 0.01)
            gradients = [item.grad.clone() for item in network.core.parameters()]
            network.core.zero_grad(set_to_none=True)
            found.append((loss, gradients, memory.activations))
    (loss, gradients, kept), (other_loss, other_gradients, left) = found
    assert loss == other_loss
    assert all(map(torch.equal, gradients, other_gradients))
    assert left < 0.5 * kept  # what is left is the loss's own


def test_optimiser_on_the_host_learns_and_goes_on_the_same(sft: Maker, as_on_gpus: None) -> None:
    """Stopped and gone on with, too: its state is in the checkpoint, and what it steps is what the model has."""
    alone = sft("alone", optimisation=LEARNING, **SETTINGS)
    alone.here()
    whole = sft("whole", optimisation=ON_HOST, **SETTINGS)
    assert whole.here()["resolved"]["offload_optimizer"] is True
    assert whole.curve("loss") == alone.curve("loss")
    stopped = sft("stopped", optimisation=ON_HOST, **SETTINGS)
    assert run_together(stopped, 1, stop_at=3, as_on_gpus=True) == [STOPPED]
    stopped.next_attempt().here()
    assert stopped.events("resumed")
    assert stopped.curve("loss") == alone.curve("loss")


@pytest.mark.parametrize("shard", ["zero2", "zero3"])
def test_each_process_keeps_its_part_of_the_optimiser_on_its_host(sft: Maker, shard: str) -> None:
    alone = sft("alone", optimisation=LEARNING, **SETTINGS)
    alone.here()
    shared = sft("shared", optimisation=ON_HOST, parallel={"processes": 2, "shard": shard}, **SETTINGS)
    assert run_together(shared, 2, stop_at=3, as_on_gpus=True) == [STOPPED, STOPPED]
    assert run_together(shared.next_attempt(), 2, as_on_gpus=True) == [0, 0]
    assert_same(shared, alone)


def test_long_documents_of_a_large_model_are_offloaded_on_a_small_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 7B on 24 GB: 32,000 tokens keep 16 GiB of block inputs, 4,000 two."""
    config = SimpleNamespace(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008)
    model: Any = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))
    monkeypatch.setattr(recipe, "free_memory", lambda device: 20 << 30)
    assert recipe.must_offload(model, 32_000, torch.device("cuda"))
    assert not recipe.must_offload(model, 4_000, torch.device("cuda"))
    assert not recipe.must_offload(model, 32_000, torch.device("cpu"))

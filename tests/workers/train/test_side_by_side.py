"""Two passes at once learn what one pass over the same documents learns (S8.1), the same numbers every time (N4)."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from workers.train.network import Network
from workers.train.packing import Documents
from workers.train.side_by_side import SideBySide, deal, pays


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def small(dropout: float = 0.0) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, attention_dropout=dropout, **sizes))


def documents() -> Documents:
    dice = np.random.default_rng(0)
    sizes = (120, 40, 7, 90, 33, 60)
    return Documents.of([(dice.integers(0, 64, size).tolist(), (dice.random(size) < 0.5).tolist()) for size in sizes])


def learnt(network: Network) -> tuple[float, dict[str, torch.Tensor]]:
    network.core.zero_grad(set_to_none=True)
    loss = sum(network.learn(documents(), half, 0.01) for half in (np.arange(6), np.arange(5)))
    return loss, {name: item.grad for name, item in network.core.named_parameters() if item.grad is not None}


@pytest.mark.parametrize("recompute", [False, True])
def test_two_passes_at_once_learn_what_one_learns(recompute: bool) -> None:
    network = Network(small(), torch.device("cpu"), "float32")
    if recompute:
        network.recompute_activations()
    expected_loss, expected = learnt(network)
    network.side_by_side = SideBySide(2)
    loss, found = learnt(network)
    again_loss, again = learnt(network)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert loss == again_loss
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5)
        assert torch.equal(gradient, again[name]), name


def test_each_pass_has_cores_of_its_own_and_others_keep_theirs() -> None:
    pool = SideBySide(4)
    assert pool.run([torch.get_num_threads] * 2) == [2, 2]
    assert torch.get_num_threads() == 4


def test_an_error_in_a_pass_is_told() -> None:
    def fail() -> None:
        raise ValueError("of a pass")

    with pytest.raises(ValueError, match="of a pass"):
        SideBySide(2).run([fail, lambda: None])


def test_documents_are_dealt_evenly_and_few_tokens_stay_together() -> None:
    lengths = np.array([300, 20, 150, 140, 30])
    dealt = deal(lengths)
    assert sorted(np.concatenate(dealt).tolist()) == [0, 1, 2, 3, 4]
    assert [int(lengths[part].sum()) for part in dealt] == [320, 320]
    assert [part.tolist() for part in deal(np.array([500]))] == [[0]]
    assert [part.tolist() for part in deal(np.array([40, 50]))] == [[0, 1]]


def test_one_core_and_random_layers_keep_single_passes() -> None:
    assert pays(small(), 2)
    assert not pays(small(), 1)
    assert not pays(small(dropout=0.1), 2)
    model = small()
    model.model.layers[0].mlp.drop = torch.nn.Dropout(0.1)
    assert not pays(model, 2)

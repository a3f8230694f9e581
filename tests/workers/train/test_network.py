"""Packed documents learn exactly what each document alone would teach, in every architecture."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from workers.train import attention
from workers.train.network import Network
from workers.train.packing import Documents

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "internlm3": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {},
    "mistral": {"sliding_window": 8},
    "glm": {},
    "gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8},
    "phi3": {},
    "cohere": {"logit_scale": 0.25},
    "gpt_neox": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0},
}
PACKED = {"llama", "internlm3", "qwen2", "qwen3", "mistral", "glm", "phi3"}


def make(family: str) -> Any:
    torch.manual_seed(0)
    known = {} if family == "gpt2" else SHAPE
    config = CONFIG_MAPPING[family](**{**known, **FAMILIES[family], "vocab_size": 97})
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa" if family != "gemma2" else "eager")


def documents() -> Documents:
    dice = np.random.default_rng(0)
    return Documents.of(
        [(dice.integers(0, 97, length).tolist(), (dice.random(length) < 0.6).tolist()) for length in (23, 2, 11, 17)]
    )


def alone(core: Any, given: Documents) -> torch.Tensor:
    """Each document by itself through the model's own forward pass and loss."""
    total = torch.zeros(())
    for index in range(len(given)):
        one = given.select(np.array([index]))
        ids = torch.from_numpy(one.tokens.astype(np.int64))
        logits = core(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        learnt = torch.from_numpy(one.learnt[1:])
        total = total + torch.nn.functional.cross_entropy(logits[learnt], ids[1:][learnt], reduction="sum")
    return total


@pytest.mark.parametrize("family", FAMILIES)
def test_packing_changes_neither_loss_nor_gradients(family: str) -> None:
    """S8.5: the families load through transformers' own classes, and no document sees another."""
    given, core = documents(), make(family)
    expected = alone(core, given)
    expected.backward()
    wanted = {name: item.grad.clone() for name, item in core.named_parameters() if item.grad is not None}
    core.zero_grad()
    network = Network(core, torch.device("cpu"), "float32")
    assert network.packed or family not in PACKED
    found = network.learn(given, np.arange(len(given)), 1.0)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(dict(core.named_parameters())[name].grad, gradient, rtol=1e-3, atol=1e-4)


def test_many_documents_padded_in_attention_give_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    given, network = documents(), Network(make("mistral"), torch.device("cpu"), "float32")
    one_by_one = network.learn(given, np.arange(4), 1.0)
    monkeypatch.setattr(attention, "SPLIT_AT_MOST", 0)
    assert network.learn(given, np.arange(4), 1.0) == pytest.approx(one_by_one, rel=1e-5)


def test_the_loss_needs_no_logits_of_the_whole_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of the output layer add up to the same loss and gradients, tied or not."""
    from workers.train import loss

    torch.manual_seed(0)
    head, targets = torch.nn.Linear(16, 50, bias=False), torch.randint(0, 50, (100,))
    hidden = torch.randn(100, 16, requires_grad=True)
    torch.nn.functional.cross_entropy(head(hidden), targets, reduction="sum").backward()
    wanted = hidden.grad.clone(), head.weight.grad.clone()
    hidden.grad, head.weight.grad = None, None
    monkeypatch.setattr(loss, "CHUNK_BYTES", 1)
    loss.summed_loss(head, hidden, targets).backward()
    torch.testing.assert_close(hidden.grad, wanted[0])
    torch.testing.assert_close(head.weight.grad, wanted[1])


def test_recomputed_activations_give_the_same_gradients() -> None:
    given, network = documents(), Network(make("llama"), torch.device("cpu"), "float32")
    network.core.train()
    network.learn(given, np.arange(4), 1.0)
    wanted = {name: item.grad.clone() for name, item in network.core.named_parameters() if item.grad is not None}
    network.core.zero_grad()
    network.recompute_activations()
    network.learn(given, np.arange(4), 1.0)
    for name, gradient in wanted.items():
        torch.testing.assert_close(dict(network.core.named_parameters())[name].grad, gradient)


def test_rows_of_almost_every_length_are_made_one_of_few() -> None:
    """Kernels for 16-bit products are made for each length; what is added to a row is a sixteenth at most, or 31 tokens."""
    network = Network(make("llama"), torch.device("cpu"), "bfloat16")
    made = {length: network._row_length(length) for length in range(1, 5000)}
    assert all(length <= longer <= max(length + 31, length * 17 / 16) for length, longer in made.items())
    assert len(set(made.values())) < 110
    exact = Network(make("llama"), torch.device("cpu"), "float32")
    assert exact._row_length(1001) == 1001


def test_bfloat16_learns_almost_what_float32_learns() -> None:
    given = documents()
    exact = Network(make("llama"), torch.device("cpu"), "float32").learn(given, np.arange(4), 1.0)
    network = Network(make("llama"), torch.device("cpu"), "bfloat16")
    assert network.packed
    assert network.learn(given, np.arange(4), 1.0) == pytest.approx(exact, rel=0.01)

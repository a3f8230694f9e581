"""Hand-written norms, rotations and LoRA layers learn what transformers' and peft's own learn."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.models.llama import modeling_llama

from workers.spec.train import Lora
from workers.train import kernels
from workers.train.adapters import add_lora
from workers.train.fused import speed_up, speed_up_gates

Outcome = tuple[torch.Tensor, dict[str, torch.Tensor]]


@pytest.fixture(autouse=True)
def own_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests, and the model that is compared with, keep the library's rotation."""
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", _library_rotation)


def _library_rotation(q: Any, k: Any, cos: Any, sin: Any, unsqueeze_dim: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    turn = modeling_llama.rotate_half
    return q * cos + turn(q) * sin, k * cos + turn(k) * sin


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 50}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, attention_bias=True))
    with torch.no_grad():
        for name, item in model.named_parameters():
            if "norm" in name or "bias" in name:
                item.add_(0.3 * torch.randn_like(item))
    return model


def adapted(**settings: Any) -> PreTrainedModel:
    core = llama()
    add_lora(core, Lora(rank=4, **settings), base_name="base", token_indices=[], seed=0)
    with torch.no_grad():
        for name, item in core.named_parameters():
            if "lora_B" in name:
                item.normal_(std=0.1)
    return core


def learn(core: PreTrainedModel, *, mixed: bool, rows: int = 2) -> Outcome:
    tokens = torch.arange(24).view(rows, -1) % 50
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss = core(input_ids=tokens, labels=tokens, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: item.grad for name, item in core.named_parameters() if item.grad is not None}


def compare(core: PreTrainedModel, *, mixed: bool, rows: int = 2, prepare: Callable[[Any], None] = speed_up) -> None:
    """In f32 the same gradients up to rounding; in bf16 as near to those as the library's own are."""
    ours = copy.deepcopy(core)
    rounded, theirs = learn(copy.deepcopy(core), mixed=mixed, rows=rows)
    expected, exact = learn(core, mixed=False, rows=rows)
    prepare(ours)
    found, made = learn(ours, mixed=mixed, rows=rows)
    assert torch.allclose(found, expected, atol=2 * abs(float(rounded - expected)) + (2e-2 if mixed else 1e-5))
    assert made.keys() == exact.keys()
    assert distance(made, exact) < 1.5 * distance(theirs, exact) + (1e-2 if mixed else 1e-4)


def distance(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """Norm of the difference over norm, of all gradients together."""
    away = sum(float((left[name] - right[name]).square().sum()) for name in right)
    return float((away / sum(float(item.square().sum()) for item in right.values())) ** 0.5)


@pytest.mark.parametrize("mixed", [False, True])
def test_all_weights_get_the_same_loss_and_gradients(mixed: bool) -> None:
    compare(llama(), mixed=mixed)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("method", [{}, {"variant": "rslora"}, {"variant": "dora"}])
def test_adapters_get_the_same_loss_and_gradients(method: dict[str, Any], mixed: bool) -> None:
    """S8.2: plain LoRA is done here; DoRA keeps its own layer, and its norms and rotations agree, too."""
    compare(adapted(**method), mixed=mixed)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("make", [llama, adapted])
def test_what_is_compiled_gives_the_same_loss_and_gradients(
    make: Callable[[], PreTrainedModel], mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The functions as they are written: a compiler takes half a minute, and changes roundings only."""
    written = (kernels.norm, kernels.norm_gradients, kernels.rotate, kernels.gated, kernels.gated_gradients)
    called = set()

    def seen(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            called.add(function)
            return function(*given)

        return call

    def prepare(core: PreTrainedModel) -> None:
        monkeypatch.setattr(kernels, "_compiled", {item.__name__: seen(item) for item in written})
        speed_up(core)
        speed_up_gates(core)

    compare(make(), mixed=mixed, rows=1, prepare=prepare)
    assert called == set(written)


def test_an_adapter_with_dropout_still_drops() -> None:
    """The same seed drops the same inputs, so the losses agree only where the adapter's own layer is used."""
    theirs = adapted(dropout=0.5).train()
    ours = copy.deepcopy(theirs)
    speed_up(ours)
    torch.manual_seed(1)
    expected, _ = learn(theirs, mixed=False)
    torch.manual_seed(1)
    found, _ = learn(ours, mixed=False)
    assert torch.allclose(found, expected, atol=1e-5)
    ours.eval()
    assert not torch.allclose(learn(ours, mixed=False)[0], expected, atol=1e-5)


def test_a_disabled_adapter_answers_as_its_base() -> None:
    core = adapted()
    expected, _ = learn(llama(), mixed=False)
    speed_up(core)
    for module in core.modules():
        if isinstance(module, BaseTunerLayer):
            module.enable_adapters(enabled=False)
    core.requires_grad_(True)
    found, _ = learn(core, mixed=False)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_model_sped_up_twice_is_sped_up_once() -> None:
    core = llama()
    speed_up(core)
    first = [module.forward for module in core.modules()]
    speed_up(core)
    assert [module.forward for module in core.modules()] == first

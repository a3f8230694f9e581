"""Fewer passes over memory for what every block does between its matrix products: norms, rotary positions, LoRA layers.

On processors with fast bf16 products most of a step's time goes there. The functions compute what transformers' and peft's own
do, with hand-written gradients; a layer that does something else (another formula, dropout, DoRA, 4 bits) keeps its own.
"""

import sys
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.train import kernels


def speed_up(core: PreTrainedModel) -> None:
    """Let the layers of `core` that do exactly what is written here do it so. For processors; a GPU's own kernels stay."""
    for module in core.modules():
        if type(module).__name__.endswith("RMSNorm") and _is_plain_norm(module):
            module.forward = _Forward(module, _norm)
        if _is_plain_lora(module):
            module.forward = _Forward(module, _lora)
        home = sys.modules[type(module).__module__]
        original = getattr(home, "apply_rotary_pos_emb", None)
        if original is not None and original is not rotate_both and _is_plain_rotation(original):
            home.apply_rotary_pos_emb = rotate_both  # type: ignore[attr-defined]


class _Forward:
    """A module's forward pass done by `function(module, original, x)`."""

    def __init__(self, module: nn.Module, function: Any) -> None:
        self._module, self._function, self._original = module, function, module.forward

    def __call__(self, x: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        if more or named:
            return self._original(x, *more, **named)
        return self._function(self._module, self._original, x)


def _products(x: torch.Tensor) -> torch.dtype:
    """The type in which `x` is multiplied with weights."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


# Norms


class _Norm(torch.autograd.Function):
    """y = w · x / √(mean x² + ε), rounded once to the type of the products that follow."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float, dtype: torch.dtype) -> torch.Tensor:  # type: ignore[override]
        if (compiled := kernels.find(kernels.norm, x[..., 0].numel())) is not None:
            rows, inverse = compiled(x.reshape(-1, x.shape[-1]), weight, epsilon, dtype)
            context.save_for_backward(x, weight, inverse.view(*x.shape[:-1], 1))
            return rows.view(x.shape)
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        context.save_for_backward(x, weight, inverse)
        return (wide * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        x, weight, inverse = context.saved_tensors
        if (compiled := kernels.find(kernels.norm_gradients, inverse.numel())) is not None:
            flat = (item.reshape(-1, x.shape[-1]) for item in (gradient, x))
            by_x, by_weight = compiled(*flat, weight, inverse.view(-1, 1))
            return by_x.view(x.shape), by_weight.to(weight.dtype) if context.needs_input_grad[1] else None, None, None
        wide, scale = gradient.float(), weight.float()
        normal = x * inverse
        product = wide * normal
        shares = (product @ scale).unsqueeze(-1).div_(x.shape[-1])
        grad_weight = None
        if context.needs_input_grad[1]:
            grad_weight = product.flatten(0, -2).sum(0).to(weight.dtype)
        grad = None
        if context.needs_input_grad[0]:
            grad = torch.mul(wide, scale, out=product).addcmul_(normal, shares, value=-1).mul_(inverse).to(x.dtype)
        return grad, grad_weight, None, None


def _norm(module: Any, original: Any, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Norm.apply(x, module.weight, module.variance_epsilon, _products(x))
    return result


def _is_plain_norm(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    if weight is None or not hasattr(module, "variance_epsilon") or isinstance(module.forward, _Forward):
        return False
    with torch.no_grad():
        probe = torch.linspace(-2, 3, 2 * weight.numel()).view(2, -1)
        expected = module(probe).float()
        found = _Norm.apply(probe, weight, module.variance_epsilon, torch.float32)
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-2, atol=1e-2)


# Rotary positions


class _Rotation(torch.autograd.Function):
    """(a, b) → (a cos − b sin, b cos + a sin) of the two halves of every head."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        context.save_for_backward(cos, sin)
        context.dtype = x.dtype
        return _turned(x, cos, sin, 1, torch.promote_types(x.dtype, cos.dtype))

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        cos, sin = context.saved_tensors
        return _turned(gradient, cos, sin, -1, context.dtype), None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int, dtype: torch.dtype) -> torch.Tensor:
    compiled = kernels.find(kernels.rotate, x.shape[2])
    if compiled is None or cos.shape[:2] != (1, 1) or x.shape[0] != 1:
        return _rotated(x.to(torch.promote_types(x.dtype, cos.dtype)), cos, sin, sign).to(dtype)
    half = x.shape[-1] // 2
    turned: torch.Tensor = compiled(x[0].transpose(0, 1), cos[0, 0, :, :half], sign * sin[0, 0, :, :half], dtype)
    return turned.transpose(0, 1)[None]


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int) -> torch.Tensor:
    result = torch.empty_like(x)
    half = x.shape[-1] // 2
    cos, sin = cos[..., :half], sin[..., :half]
    first, second = x[..., :half], x[..., half:]
    torch.mul(first, cos, out=result[..., :half]).addcmul_(second, sin, value=-sign)
    torch.mul(second, cos, out=result[..., half:]).addcmul_(first, sin, value=sign)
    return result


def rotate_both(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stands in for transformers' `apply_rotary_pos_emb`, with its arguments."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _Rotation.apply(q, cos, sin), _Rotation.apply(k, cos, sin)


def _is_plain_rotation(original: Any) -> bool:
    angles = torch.linspace(0, 2, 12).view(1, 3, 4)
    cos, sin = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    q, k = torch.linspace(-1, 2, 48).view(1, 2, 3, 8), torch.linspace(3, -1, 24).view(1, 1, 3, 8)
    try:
        expected = original(q, k, cos, sin)
    except (TypeError, RuntimeError, ValueError):
        return False
    try:
        original(q, k, cos[..., :4], sin[..., :4])
        return False  # turns a part of each head only, where it is asked to
    except (TypeError, RuntimeError, ValueError):
        pass
    found = rotate_both(q, k, cos, sin)
    pairs = zip(found, expected, strict=True)
    return all(left.shape == right.shape and torch.allclose(left, right, atol=1e-5) for left, right in pairs)


# Gated feed-forward layers


class _Gated(torch.autograd.Function):
    """silu(gate) · up, by compiled functions."""

    @staticmethod
    def forward(context: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        context.save_for_backward(gate, up)
        rows: torch.Tensor = _compiled_or_not(kernels.gated, gate, up)
        return rows.view(gate.shape)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        gate, up = context.saved_tensors
        by_gate, by_up = _compiled_or_not(kernels.gated_gradients, gradient, gate, up)
        return by_gate.view(gate.shape), by_up.view(up.shape)


def _compiled_or_not(function: Any, *given: torch.Tensor) -> Any:
    flat = [item.reshape(-1, item.shape[-1]) for item in given]
    return (kernels.find(function, len(flat[0])) or function)(*flat)


def _feed_forward(module: Any, original: Any, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = module.down_proj(_Gated.apply(module.gate_proj(x), module.up_proj(x)))
    return result


def speed_up_gates(core: PreTrainedModel) -> None:
    """The same for feed-forward layers; pays only with compiled functions."""
    for module in core.modules():
        if _is_plain_gate(module):
            module.forward = _Forward(module, _feed_forward)


def _is_plain_gate(module: Any) -> bool:
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return False
    if isinstance(module.forward, _Forward) or "silu" not in type(module.act_fn).__name__.lower():
        return False
    weight = getattr(module.gate_proj, "weight", None)
    if weight is None or weight.dim() != 2 or not weight.is_floating_point():
        return False
    was_training = module.training
    module.eval()
    with torch.no_grad():
        probe = torch.linspace(-2, 3, 2 * weight.shape[1]).view(2, -1).to(weight.dtype)
        expected, found = module(probe).float(), _feed_forward(module, None, probe).float()
    module.train(was_training)
    return torch.allclose(found, expected, rtol=2e-2, atol=2e-2 * float(expected.abs().max()))


# LoRA


class _Lora(torch.autograd.Function):
    """x Wᵀ + s (x Aᵀ) Bᵀ with W frozen; the additions are done inside the products."""

    @staticmethod
    def forward(  # type: ignore[override]
        context: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        small = rows @ down.T
        result = nn.functional.linear(rows, weight, bias).addmm_(small, up.T, alpha=scale)
        context.save_for_backward(rows, weight, down, up, small)
        context.scale, context.shape = scale, x.shape
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        rows, weight, down, up, small = context.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        narrow = (flat @ up).mul_(context.scale)
        grad = None
        if context.needs_input_grad[0]:
            grad = (flat @ weight).addmm_(narrow, down).view(context.shape)
        return grad, None, None, narrow.T @ rows, (flat.T @ small).mul_(context.scale), None


def _lora(module: Any, original: Any, x: torch.Tensor) -> torch.Tensor:
    dropout = module.lora_dropout["default"]
    if module.disable_adapters or module.merged or (module.training and getattr(dropout, "p", 0.0)):
        result: torch.Tensor = original(x)
        return result
    dtype = _products(x)
    base, down, up = module.base_layer, module.lora_A["default"].weight, module.lora_B["default"].weight
    bias = None if base.bias is None else base.bias.to(dtype)
    with torch.autocast("cpu", enabled=False):
        result = _Lora.apply(x.to(dtype), base.weight.to(dtype), bias, down.to(dtype), up.to(dtype), module.scaling["default"])
    return result


def _is_plain_lora(module: Any) -> bool:
    library = sys.modules.get("peft.tuners.lora")
    return (
        library is not None
        and type(module) is library.Linear
        and type(module.base_layer) is nn.Linear
        and not isinstance(module.forward, _Forward)
        and not module.base_layer.weight.requires_grad
        and module.active_adapters == ["default"]
        and not module.lora_variant
        and module.lora_A["default"].bias is None
        and module.lora_B["default"].bias is None
        and not module.fan_in_fan_out
    )

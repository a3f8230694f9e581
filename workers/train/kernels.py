"""The work between a block's matrix products as compiled functions: each reads and writes memory once.

torch.compile makes them with the machine's C++ compiler when the first step asks for them (about half a minute, then kept on
disk), for any number of tokens. Measured, a step then takes a fifth less time; `fused.py` does the same without a compiler.
"""

import getpass
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

FEWEST_ROWS = 16
"""Rows below which nothing is gained, and each small number would be compiled anew."""


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """(w · x / √(mean x² + ε), 1 / √…) of rows (n, size)."""
    wide = x.float()
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * inverse * weight.float()).to(dtype), inverse


def norm_gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(by x, by the weight)."""
    normal, scaled = x.float() * inverse, gradient.float() * weight.float()
    share = (scaled * normal).mean(-1, keepdim=True)
    return ((scaled - normal * share) * inverse).to(x.dtype), (gradient.float() * normal).sum(0)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Heads (tokens, heads, size) turned by angles (tokens, size / 2)."""
    half = x.shape[-1] // 2
    first, second = x[..., :half].float(), x[..., half:].float()
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(dtype)


def gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) · up."""
    return (functional.silu(gate.float()) * up.float()).to(gate.dtype)


def gated_gradients(gradient: torch.Tensor, gate: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(by gate, by up)."""
    above, wide = gradient.float(), gate.float()
    share = torch.sigmoid(wide)
    by_gate = above * up.float() * share * (1 + wide * (1 - share))
    return by_gate.to(gate.dtype), (above * wide * share).to(up.dtype)


_compiled: dict[str, Callable[..., Any]] = {}


def find(function: Callable[..., Any], rows: int) -> Callable[..., Any] | None:
    """The compiled form of a function above; None when they are switched off or not worth it for so few rows."""
    return _compiled.get(function.__name__) if rows >= FEWEST_ROWS else None


def has_compiler() -> bool:
    return any(map(shutil.which, ("c++", "g++", "clang++")))


def choose_cache(spare: Path) -> None:
    """Compiled code is kept in the user's own temporary folder; in `spare` where the user has no name (containers that run
    as a number) or where that folder is somebody else's."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            getpass.getuser()
        usable = os.access(cache_dir(), os.W_OK | os.X_OK)
    except (KeyError, ImportError, OSError):
        usable = False
    if not usable:
        spare.mkdir(parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(spare)


def switch_on() -> bool:
    """Compile; False where the compiler cannot do it (Python's own headers are needed, too)."""
    import torch._inductor.config

    torch._inductor.config.compile_threads = 1  # no processes of its own that would outlive a cancelled run
    made = {item.__name__: _in_one_state(item) for item in (norm, norm_gradients, rotate, gated, gated_gradients)}
    try:
        made["gated"](torch.ones(FEWEST_ROWS, 32), torch.ones(FEWEST_ROWS, 32))
    except (RuntimeError, OSError, subprocess.SubprocessError):
        return False
    _compiled.update(made)
    return True


def _in_one_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Forward and backward passes differ in autocast and gradients, and each such state would be compiled for itself."""
    compiled = torch.compile(function, dynamic=True)

    def call(*given: Any) -> Any:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return compiled(*given)

    return call


def switch_off() -> None:
    _compiled.clear()

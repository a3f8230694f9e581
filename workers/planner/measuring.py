"""The speed of this machine: matrix products in 32 and 16 bit and the memory's bandwidth. The only part that needs torch."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from workers.program import Program
from workers.spec.planner import MeasureSpec

ROWS, WIDTH = 1024, 768
COPIED = 64 << 20


def run(program: Program) -> Mapping[str, Any]:
    spec = MeasureSpec.model_validate(program.run.spec)
    torch.set_num_threads(max(program.run.threads, 1))
    device = torch.device(program.run.device)
    program.phase("measuring")
    share = spec.seconds / 3
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "float32": products_per_second(device, torch.float32, share),
        "bfloat16": products_per_second(device, torch.bfloat16, share),
        "bandwidth": bytes_per_second(device, share),
    }


def products_per_second(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """GFLOP/s of products shaped like those of a model's layers."""
    rows, width = (ROWS, WIDTH) if device.type == "cpu" else (8192, 4096)
    left = torch.randn(rows, width, device=device).to(dtype)
    right = torch.randn(width, 3 * width, device=device).to(dtype)
    return round(2e-9 * rows * width * 3 * width / _best(lambda: left @ right, device, seconds), 1)


def bytes_per_second(device: torch.device, seconds: float) -> float:
    """GB/s of copying: read and write counted."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return round(2e-9 * COPIED / _best(lambda: target.copy_(source), device, seconds), 2)


def _best(work: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """The shortest time of one call: other programs can only make it longer."""
    work()
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best

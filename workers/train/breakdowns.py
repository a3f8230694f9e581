"""What a machine does to a run, told in one sentence: memory that is used up, and a GPU that no longer answers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workers.spec.errors import UserError

NO_MEMORY = ("can't allocate memory", "out of memory", "cublas_status_alloc_failed")
GPU_LOST = ("cuda error", "cuda driver", "cuda-capable device", "nvml", "cublas_status", "cudnn_status")


@contextmanager
def told() -> Iterator[None]:
    """Within this block, PyTorch's errors of that kind become those that a program tells its user."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        if any(part in words for part in NO_MEMORY):
            raise MemoryError from error
        if _is_of_device(error) or any(part in words for part in GPU_LOST):
            raise UserError(
                "train.device_lost",
                "The GPU no longer answers ({detail}); see that it is there and well, then press Retry: the run goes on from its "
                "last checkpoint.",
                detail=str(error).partition("\n")[0][:200],
            ) from error
        raise


def _is_of_device(error: RuntimeError) -> bool:
    torch = sys.modules.get("torch")  # an error of the device comes from it
    kind = getattr(torch, "AcceleratorError", None)
    return kind is not None and isinstance(error, kind)

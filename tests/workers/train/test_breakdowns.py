"""What a machine does to a run becomes one sentence that says what to do (N4); other errors stay what they are."""

import pytest
import torch

from workers.spec.errors import UserError
from workers.train.breakdowns import told

CUDA = "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported at some other call"


def test_used_up_memory_is_told_as_such() -> None:
    """Pytorch's own type says nothing; the program's sentence leads to the next recipe down."""
    with pytest.raises(MemoryError), told():
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(MemoryError), told():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("error", [torch.AcceleratorError(CUDA), RuntimeError(CUDA)])
def test_a_lost_gpu_is_told_as_such(error: RuntimeError) -> None:
    with pytest.raises(UserError) as found, told():
        raise error
    assert found.value.code == "train.device_lost"
    assert "Retry" in found.value.message
    assert "\n" not in found.value.message


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="must match the size"), told():
        torch.zeros(3) + torch.zeros(4)

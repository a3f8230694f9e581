"""Processes that share one run. Alone, everything here does nothing.

Each process takes its part of a step's units, gradients are summed, and the first process alone decides and writes; so
that all make the update that one process would make.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from workers.program import Program, Stopped
from workers.spec.errors import UserError
from workers.spec.train import Parallel
from workers.train.host_sum import HostSum, share_memory
from workers.train.sequence import SharedSequence

BUCKET = 8 << 20
"""Numbers that are summed over the processes at once."""


class Team:
    """`rank` of `size` processes, as torchrun tells them in the environment."""

    def __init__(self, device: str) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.first = self.rank == 0
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device(f"cuda:{local}" if device == "cuda" and self.size > 1 else device)
        if self.size > 1 and not distributed.is_initialized():
            if self.device.type == "cuda":
                _require_devices(local)
                torch.cuda.set_device(self.device)
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        self._host_sum: HostSum | None = None
        self._asked_for_memory = False
        self.sequence: SharedSequence | None = None

    def home(self, run_dir: Path) -> Path:
        """The run directory of the first process; the others have their own below it."""
        return run_dir if self.first else run_dir.parents[1]

    # Sharing out

    def divide(self, size: int) -> None:
        """Let `size` neighbouring processes share every sequence."""
        if self.size % size:
            raise UserError(
                "train.bad_sequence_group",
                "{processes} processes cannot share sequences in groups of {group}; choose a divisor.",
                processes=self.size,
                group=size,
            )
        if size == 1:
            return
        for first in range(0, self.size, size):
            members = list(range(first, first + size))
            group = distributed.new_group(members)  # all processes make all groups
            if self.rank in members:
                self.sequence = SharedSequence(size, self.rank - first, group)

    @property
    def share_of_tokens(self) -> int:
        """Processes among which the tokens of one pass are divided."""
        return self.sequence.size if self.sequence is not None else 1

    def share(self, units: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """Which of a step's units each process takes: about equally many tokens, the same answer in every process.

        Processes that share sequences take the same ones.
        """
        if self.size == 1:
            return [units]
        together = self.share_of_tokens
        parts: list[list[int]] = [[] for _ in range(self.size // together)]
        filled = [0] * len(parts)
        for unit in units[np.argsort(-lengths[units], kind="stable")].tolist():
            least = filled.index(min(filled))
            parts[least].append(unit)
            filled[least] += int(lengths[unit])
        return [np.asarray(part, dtype=np.int64) for part in parts for _ in range(together)]

    # Talking

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each number summed over the processes."""
        if self.size == 1:
            return [float(value) for value in values]
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(numbers)
        return [float(value) for value in numbers.tolist()]

    def agree(self, values: Sequence[float]) -> list[float]:
        """The numbers of the first process, which decides what depends on the clock."""
        if self.size == 1:
            return [float(value) for value in values]
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(numbers, 0)
        return [float(value) for value in numbers.tolist()]

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of all processes, which have one shape."""
        if self.size == 1:
            return [tensor]
        mine = tensor.to(self.device)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(found, mine)
        return [item.to(tensor.device) for item in found]

    def exchange(self, item: Any) -> list[Any]:
        """What every process brings, in their order; small things only."""
        if self.size == 1:
            return [item]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, item)
        return found

    def most(self, count: int) -> int:
        """The largest count of any process."""
        return max(int(item) for item in self.gather(torch.tensor([count])))

    def check_stop(self, program: Program) -> None:
        """Stop when any process was told to: all of them, before the same step."""
        if self.sum([float(program.should_stop)])[0]:
            raise Stopped

    def check_stop_alone(self, program: Program) -> None:
        """In the middle of a step one process must not leave the others waiting."""
        if self.size == 1:
            program.check_stop()

    def wait(self) -> None:
        if self.size > 1:
            self.sum([0.0])

    def close(self) -> None:
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    # Gradients

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of copied weights; those of weights that are shared out have been summed already."""
        if self.size == 1:
            return
        gradients = [item.grad for item in parameters if item.grad is not None and not is_shared_out(item)]
        if gradients and all(item.dtype == torch.float32 and item.is_contiguous() for item in gradients):
            if not self._asked_for_memory:
                self._asked_for_memory, self._host_sum = True, share_memory(self)
            if self._host_sum is not None:
                self._host_sum.add_up(gradients)
                return
        bucket: list[torch.Tensor] = []
        filled = 0
        for gradient in gradients:
            bucket.append(gradient)
            filled += gradient.numel()
            if filled >= BUCKET:
                _sum_bucket(bucket)
                bucket, filled = [], 0
        _sum_bucket(bucket)

    def clip(self, parameters: Sequence[torch.nn.Parameter], limit: float) -> float:
        """Shorten the gradients together to `limit`; returns their length before."""
        if not any(map(is_shared_out, parameters)):
            return float(torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True))
        squares = [0.0, 0.0]
        for item in parameters:
            if item.grad is not None:
                squares[is_shared_out(item)] += float(local(item.grad).double().pow(2).sum()) / _copies(item)
        norm = (squares[0] + self.sum([squares[1]])[0]) ** 0.5
        if norm > limit:
            for item in parameters:
                if item.grad is not None:
                    local(item.grad).mul_(limit / (norm + 1e-6))
        return float(norm)


def _require_devices(local: int) -> None:
    count = torch.cuda.device_count()
    if local >= count:
        raise UserError(
            "train.too_few_devices",
            "The run asks for more processes than there are GPUs for it ({count}); choose fewer processes.",
            count=count,
        )


def _sum_bucket(bucket: list[torch.Tensor]) -> None:
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for gradient in bucket:
        by_type.setdefault(gradient.dtype, []).append(gradient)
    for gradients in by_type.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([item.numel() for item in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


# Weights that are shared out (FSDP2)


def is_shared_out(item: Any) -> bool:
    return hasattr(item, "full_tensor")


def whole(item: torch.Tensor) -> torch.Tensor:
    """A weight (or its optimiser state) as one tensor; all processes must ask together."""
    return item.full_tensor() if hasattr(item, "full_tensor") else item


def put(target: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`value` laid out as `target` is."""
    if not is_shared_out(target):
        return value.to(target.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)  # type: ignore[attr-defined]


def laid_out(target: torch.nn.Parameter, part: torch.Tensor) -> torch.Tensor:
    """This process's `part` of something that is shared out as `target` is, on its device."""
    if not is_shared_out(target):
        return part
    from torch.distributed.tensor import DTensor

    mesh, places = target.device_mesh, target.placements  # type: ignore[attr-defined]
    return DTensor.from_local(part.to(target.device), mesh, places, run_check=False, shape=target.shape, stride=target.stride())


def share_out(core: torch.nn.Module, parallel: Parallel, team: Team) -> None:
    """Divide the blocks' weights, gradients and optimiser state among the processes (FSDP2), hybrid with a shard group.

    Embeddings, last norm and output layer stay whole in each process: they are used outside of the blocks.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    group = parallel.shard_group or team.size
    if team.size % group:
        raise UserError(
            "train.bad_shard_group",
            "{processes} processes cannot be divided into groups of {group}; choose a divisor.",
            processes=team.size,
            group=group,
        )
    shape = {"part": group} if group == team.size else {"copy": team.size // group, "part": group}
    mesh = init_device_mesh(team.device.type, tuple(shape.values()), mesh_dim_names=tuple(shape))
    for block in _blocks(core):
        shared = fully_shard(block, mesh=mesh, reshard_after_forward=parallel.shard == "zero3")
        shared.set_gradient_divide_factor(1.0)  # type: ignore[attr-defined]
        shared.set_force_sum_reduction_for_comms(True)  # type: ignore[attr-defined]


@contextmanager
def whole_weights(core: torch.nn.Module, parallel: Parallel) -> Iterator[None]:
    """Within this block every process holds the whole weights and may run the model as often as it likes; all enter together."""
    if not any(map(is_shared_out, core.parameters())):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    blocks = [module for module in core.modules() if isinstance(module, FSDPModule)]
    for block in blocks:
        block.set_reshard_after_forward(False)
        block.unshard()
    try:
        yield
    finally:
        for block in blocks:
            block.reshard()
            block.set_reshard_after_forward(parallel.shard == "zero3")


def gather(core: torch.nn.Module) -> None:
    """Put whole weights in place of those that are shared out; all processes together. Nothing is learnt after that."""
    from torch.distributed.fsdp import FSDPModule

    for module in core.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # zero2 keeps the whole weights of the last look, which are not the model's own
            module.__class__ = type(module).__bases__[1]  # an ordinary block again, which can be cast and saved
        for name, item in list(module.named_parameters(recurse=False)):
            if is_shared_out(item):
                setattr(module, name, torch.nn.Parameter(whole(item.detach()), requires_grad=item.requires_grad))


def _blocks(core: torch.nn.Module) -> list[torch.nn.Module]:
    found = [
        layer
        for item in core.modules()
        if isinstance(item, torch.nn.ModuleList) and len(item) and type(item[0]).__name__.endswith(("Layer", "Block"))
        for layer in item
    ]
    if not found:
        raise UserError(
            "train.cannot_shard",
            "The blocks of {architecture} cannot be shared out among processes; choose “none” for sharing.",
            architecture=type(core).__name__,
        )
    return found


def local(item: Any) -> torch.Tensor:
    """This process's part of a weight."""
    return item.to_local() if hasattr(item, "to_local") else item  # type: ignore[no-any-return]


def _copies(item: Any) -> int:
    """How many processes hold the same part of a weight (hybrid sharding)."""
    if not is_shared_out(item):
        return 1
    placements = item.placements
    return int(np.prod([item.device_mesh.size(axis) for axis, place in enumerate(placements) if place.is_replicate()] or [1]))

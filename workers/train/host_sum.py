"""Gradients of processes on one host, summed through memory that all of them see instead of through the host's network.

A gradient is cut into as many parts as there are processes; each adds up its own part and the others read the sum. That
passes over memory twice; the network's copies into and out of the kernel cost four times that.
"""

import math
import mmap
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch

NUMBERS = 1 << 20
"""Numbers of each process that are exchanged at once: few enough to stay in a processor's cache."""

HAS_SHARED_FILES = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()


class Members(Protocol):
    """What is needed of a team: see `team.Team`."""

    size: int
    rank: int
    device: torch.device

    def wait(self) -> None: ...

    def sum(self, values: Sequence[float]) -> list[float]: ...

    def agree(self, values: Sequence[float]) -> list[float]: ...


class HostSum:
    """Room for `NUMBERS` floats of each process, twice: while one room is still read, the other is written."""

    def __init__(self, team: Members, rooms: torch.Tensor) -> None:
        """`rooms`: (2, processes, NUMBERS) floats in shared memory."""
        self._team = team
        self._rooms = rooms
        self._turn = 0

    def add_up(self, gradients: Sequence[torch.Tensor]) -> None:
        """Put in place of each gradient its sum over the processes; all must bring the same shapes in the same order."""
        for pieces in _buckets(gradients):
            self._turn = 1 - self._turn
            self._exchange(pieces, self._rooms[self._turn])

    def _exchange(self, pieces: Sequence[torch.Tensor], room: torch.Tensor) -> None:
        """The room is free again when all have passed the waits of the next exchange, which uses the other one."""
        mine, others = self._team.rank, [rank for rank in range(self._team.size) if rank != self._team.rank]
        total = sum(piece.numel() for piece in pieces)
        edges = [total * rank // self._team.size for rank in range(self._team.size + 1)]
        parts = [list(_between(pieces, *edges[rank : rank + 2])) for rank in range(self._team.size)]
        for owner in others:
            for part, place in parts[owner]:
                room[mine, place].copy_(part)
        self._team.wait()
        for part, place in parts[mine]:
            for other in others:
                part.add_(room[other, place])
            room[mine, place].copy_(part)
        self._team.wait()
        for owner in others:
            for part, place in parts[owner]:
                part.copy_(room[owner, place])


def _buckets(gradients: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """The gradients' numbers, one after another, in pieces that fill a room."""
    bucket: list[torch.Tensor] = []
    left = NUMBERS
    for gradient in gradients:
        rest = gradient.view(-1)
        while len(rest):
            bucket.append(rest[:left])
            left -= len(bucket[-1])
            rest = rest[len(bucket[-1]) :]
            if not left:
                yield bucket
                bucket, left = [], NUMBERS
    if bucket:
        yield bucket


def _between(pieces: Sequence[torch.Tensor], start: int, end: int) -> Iterator[tuple[torch.Tensor, slice]]:
    """What lies between two numbers of the pieces laid end to end, and its place there."""
    begin = 0
    for piece in pieces:
        low, high = max(start, begin), min(end, begin + len(piece))
        if low < high:
            yield piece[low - begin : high - begin], slice(low, high)
        begin += len(piece)


def share_memory(team: Members) -> HostSum | None:
    """Memory that all processes of the team see; None where they are not on one host, or where the system has no such memory.

    The first process makes a file without a name, which the others open through its process id: nothing is left behind
    by a process that is killed.
    """
    if team.device.type != "cpu" or int(os.environ.get("LOCAL_WORLD_SIZE", "1")) != team.size:
        return None
    shape = (2, team.size, NUMBERS)
    file = _reserve(4 * math.prod(shape)) if team.rank == 0 else -1
    process, number, sign = team.agree([os.getpid(), file, random.SystemRandom().random()])
    if team.rank and number >= 0:
        file = _open(Path(f"/proc/{int(process)}/fd/{int(number)}"))
    rooms = torch.frombuffer(mmap.mmap(file, 4 * math.prod(shape)), dtype=torch.float32).view(shape) if file >= 0 else None
    if rooms is not None and team.rank == 0:
        rooms[0, 0, 0] = sign
    team.wait()
    seen = rooms is not None and bool(rooms[0, 0, 0] == torch.tensor(sign, dtype=torch.float32))
    agreed = team.sum([seen])[0] == team.size
    if file >= 0:
        os.close(file)
    return HostSum(team, rooms) if agreed and rooms is not None else None


def _reserve(size: int) -> int:
    """A nameless file in memory, or -1."""
    if not HAS_SHARED_FILES:
        return -1
    try:
        file = os.memfd_create("gradients")
        os.posix_fallocate(file, 0, size)
    except OSError:
        return -1
    return file


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except OSError:
        return -1

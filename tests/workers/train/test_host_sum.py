"""Gradients summed in memory that the processes of one host share (S7.1): the same sums everywhere, whatever the shapes."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from workers.train import host_sum

PATIENCE = 60


class Talk:
    """Members in threads of this process, in place of processes that talk over a network."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.said: dict[int, Sequence[float]] = {}


class Member:
    device = torch.device("cpu")

    def __init__(self, rank: int, size: int, talk: Talk) -> None:
        self.rank, self.size, self._talk = rank, size, talk

    def _exchange(self, values: Sequence[float]) -> list[Sequence[float]]:
        self._talk.said[self.rank] = values
        self._talk.barrier.wait()
        found = [self._talk.said[rank] for rank in range(self.size)]
        self._talk.barrier.wait()
        return found

    def wait(self) -> None:
        self._exchange([])

    def sum(self, values: Sequence[float]) -> list[float]:
        return [float(sum(numbers)) for numbers in zip(*self._exchange(values), strict=True)]

    def agree(self, values: Sequence[float]) -> list[float]:
        return list(self._exchange(values)[0])


def gradients(rank: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rank)
    return [torch.randn(shape, generator=generator) for shape in ((70, 9), (1,), (333,), (4, 5, 6), (500,))]


def add_up(member: Member) -> list[torch.Tensor] | None:
    adder = host_sum.share_memory(member)
    found = gradients(member.rank)
    if adder is None:
        return None
    adder.add_up(found)
    adder.add_up(found)  # the rooms are used in turn, again and again
    return found


def together(size: int) -> list[list[torch.Tensor] | None]:
    talk = Talk(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(add_up, [Member(rank, size, talk) for rank in range(size)]))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_every_member_has_the_same_sum(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    if not host_sum.HAS_SHARED_FILES:
        pytest.skip("NOT TESTED: this system has no nameless files in memory")
    monkeypatch.setattr(host_sum, "NUMBERS", 100)  # gradients that end within a room, and that need several
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(size))
    found = together(size)
    expected = [size * sum(parts) for parts in zip(*map(gradients, range(size)), strict=True)]
    for mine in found:
        assert mine is not None
        for item, first, right in zip(mine, found[0] or [], expected, strict=True):
            assert torch.equal(item, first)
            torch.testing.assert_close(item, torch.as_tensor(right))


def test_members_on_several_hosts_or_without_such_memory_take_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert together(2) == [None, None]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(host_sum, "HAS_SHARED_FILES", False)
    assert together(2) == [None, None]

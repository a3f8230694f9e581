"""Processes that share a run, forked from one that has torch already: each test of several processes costs a second or two.

They run what torchrun would run (`workers.train` with its environment), and stop or die at a step instead of at a moment.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch.distributed import TCPStore

from tests.workers.train import tiny
from workers.program import Stopped
from workers.spec.run import RunFile
from workers.train.launch import member_file
from workers.train.loop import Loop

STOPPED = 75
CLONE_NEWNET = 0x40000000
PATIENCE = 300


def run_together(
    run: tiny.Run,
    size: int,
    *,
    stop_at: int | None = None,
    die_at: int | None = None,
    hosts: Sequence[tuple[str, Mapping[str, str]]] = (),
    as_on_gpus: bool = False,
) -> list[int | None]:
    """Exit codes of `size` processes. `stop_at`: all stop after this step; `die_at`: the last one is killed after it;
    `hosts`: for each process a network namespace and the environment there; `as_on_gpus`: what is refused without a GPU is
    done nevertheless."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.workers.train.members", "workers.train.sft", "torch.distributed.fsdp"])
    # As torchrun does, the store is opened before any member starts, on a port that the system chooses.
    store = None if hosts else TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": str(size)}
    if store is not None:
        shared |= {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    path, members = run.file(), []
    for rank in range(size):
        name, own = hosts[rank] if hosts else ("", {})
        environment = {**shared, **own, "RANK": str(rank), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}
        dies = die_at if rank == size - 1 else None
        members.append(context.Process(target=_member, args=(path, environment, stop_at, dies, name, as_on_gpus)))
    for member in members:
        member.start()
    for member in members:
        member.join(PATIENCE)
    return [member.exitcode for member in members]


def _member(
    path: Path, environment: dict[str, str], stop_at: int | None, die_at: int | None, namespace: str, as_on_gpus: bool
) -> None:
    from workers.program import Program
    from workers.train import session
    from workers.train.__main__ import train

    if as_on_gpus:
        session.check_offload = lambda given, device: None  # type: ignore[assignment]

    os.environ.update(environment)
    if namespace:
        _enter(namespace)
    original = Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        if loop.count.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        loop.program.should_stop = loop.count.step == stop_at

    Loop.step = step  # type: ignore[method-assign]
    try:
        train(Program(RunFile.model_validate_json(member_file(path).read_text(encoding="utf-8"))))
    except Stopped:
        os._exit(STOPPED)


def _enter(namespace: str) -> None:
    """Move this process into a network namespace that `ip netns` made."""
    library = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open("rb") as file:
        if library.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def assert_same(found: tiny.Run, expected: tiny.Run) -> None:
    """The curves of both runs and their weights, to what sums in another order may differ by."""
    for name in ("loss", "held_out_loss", "grad_norm"):
        curves = found.curve(name), expected.curve(name)
        assert list(curves[0]) == list(curves[1])
        np.testing.assert_allclose(list(curves[0].values()), list(curves[1].values()), rtol=2e-3)
    weights = [load_file(run.folder / "out/model/model.safetensors") for run in (found, expected)]
    for name, item in weights[0].items():
        np.testing.assert_allclose(item, weights[1][name], atol=2e-3)

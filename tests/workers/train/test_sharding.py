"""Runs that several processes share (S7.1, S7.3): any sharding makes one process's losses and reads any other's checkpoint."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.workers.train import tiny
from tests.workers.train.members import STOPPED, assert_same, run_together
from workers.train.launch import PEER_LOST

Maker = Callable[..., tiny.Run]
LEARNING: dict[str, Any] = {"tokens_per_step": 256, "learning_rate": 0.003, "precision": "float32"}
SETTINGS: dict[str, Any] = {"method": "full", "epochs": 2, "held_out_fraction": 0.2, "optimisation": LEARNING}
COPIED = {"processes": 2}
ZERO2 = {"processes": 2, "shard": "zero2"}
ZERO3 = {"processes": 2, "shard": "zero3"}
HYBRID = {"processes": 2, "shard": "zero3", "shard_group": 1}


def rows() -> list[dict[str, Any]]:
    return tiny.conversations(60)


def go_on(run: tiny.Run, parallel: dict[str, Any], **how: Any) -> list[int | None]:
    run.spec["parallel"] = parallel
    codes = run_together(run, parallel["processes"], **how)
    run.next_attempt()
    return codes


def test_every_sharding_goes_on_from_every_other(sft: Maker) -> None:
    """ZeRO 2, then ZeRO 3, hybrid, plain copies and one process at last: one curve, that of a single process."""
    alone = sft("alone", rows=rows(), **SETTINGS)
    alone.here()
    run = sft("travelling", rows=rows(), **SETTINGS)
    for number, parallel in enumerate((ZERO2, ZERO3, HYBRID, COPIED)):
        assert go_on(run, parallel, stop_at=2 * number + 2) == [STOPPED, STOPPED], parallel
    run.spec["parallel"] = {}
    run.here()
    assert [event["step"] for event in run.events("resumed")] == [2, 4, 6, 8]
    assert_same(run, alone)


@pytest.mark.parametrize("parallel", [ZERO2, ZERO3, HYBRID], ids=["zero2", "zero3", "hybrid"])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(sft: Maker, parallel: dict[str, Any]) -> None:
    """N4: nobody waits for ever for one that is gone, and no error is told that is not the run's own."""
    run = sft(rows=rows(), saving={"every_steps": 2}, **SETTINGS)
    assert go_on(run, parallel, die_at=5) == [PEER_LOST, -signal.SIGKILL]
    assert not run.events("error")
    assert go_on(run, parallel) == [0, 0]
    assert [event["step"] for event in run.events("resumed")] == [4]
    steps = list(run.curve("loss"))
    assert steps == sorted(set(steps))
    assert run.events("result") or (run.folder / "out/model/model.safetensors").is_file()


def test_lora_is_shared_out_too(sft: Maker) -> None:
    """Adapters inside of blocks that are shared out: saved whole, as one process saves them."""
    settings = {**SETTINGS, "method": "lora"}
    alone, shared = sft("alone", rows=rows(), **settings), sft("shared", rows=rows(), **settings)
    alone.here()
    assert go_on(shared, ZERO3) == [0, 0]
    adapters = [load_file(run.folder / "out/adapter/adapter_model.safetensors") for run in (shared, alone)]
    assert set(adapters[0]) == set(adapters[1])
    for name, item in adapters[0].items():
        np.testing.assert_allclose(item, adapters[1][name], atol=2e-3)


# Two hosts


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def two_hosts() -> Iterator[list[tuple[str, dict[str, str]]]]:
    """Two network namespaces with a cable between them: nothing is shared but the disk."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("NOT TESTED: two hosts need root and the command ip for network namespaces")
    names = [f"shuyuan-{os.getpid()}-{end}" for end in "ab"]
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "cable0", "netns", names[0], "type", "veth", "peer", "name", "cable1", "netns", names[1])
            for number, name in enumerate(names):
                ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"cable{number}")
                ip("-n", name, "link", "set", f"cable{number}", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"NOT TESTED: this machine allows no network namespaces ({error.stderr.decode().strip()})")
        yield [(name, {"MASTER_ADDR": "10.77.0.1", "GLOO_SOCKET_IFNAME": f"cable{number}"}) for number, name in enumerate(names)]
    finally:
        for name in names:
            if Path(f"/run/netns/{name}").exists():
                ip("netns", "del", name)


def test_two_hosts_share_a_run(sft: Maker, two_hosts: list[tuple[str, dict[str, str]]]) -> None:
    """S7.1: processes that reach each other only through a network make the losses of one process."""
    alone, shared = sft("alone", rows=rows(), **SETTINGS), sft("shared", rows=rows(), **SETTINGS)
    alone.here()
    assert go_on(shared, ZERO2, hosts=two_hosts) == [0, 0]
    assert_same(shared, alone)

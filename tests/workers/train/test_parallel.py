"""Several processes share a run (S7.1, S7.3): the losses of one process, a clean end when one is killed, and resume."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.workers.train import tiny
from tests.workers.train.members import assert_same
from workers.program import EXIT_BAD_INPUT, EXIT_DONE, EXIT_STOPPED

Maker = Callable[..., tiny.Run]
LEARNING: dict[str, Any] = {"tokens_per_step": 256, "learning_rate": 0.003}
SETTINGS: dict[str, Any] = {"epochs": 3, "held_out_fraction": 0.2, "optimisation": LEARNING}


def ranks(launcher: int) -> list[int]:
    """Processes that torchrun started."""
    children = Path(f"/proc/{launcher}/task").glob("*/children")
    return [int(pid) for file in children for pid in file.read_text(encoding="ascii").split()]


def log(run: tiny.Run) -> str:
    return (run.folder / "output.txt").read_text(encoding="utf-8")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_two_processes_learn_as_one_and_survive_a_kill(sft: Maker) -> None:
    """N4: the run dies of the signal that killed one of its processes, so that it is queued again; then it goes on."""
    alone = sft("alone", method="full", **SETTINGS)
    alone.here()
    run = sft("two", method="full", parallel={"processes": 2}, saving={"every_steps": 2}, **SETTINGS)
    child = run.start()
    run.wait_for_step(5, child)
    members = ranks(child.pid)
    assert len(members) == 2, log(run)
    os.kill(members[1], signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL, log(run)
    assert not run.events("error")
    assert not any(map(is_alive, members))
    child = run.next_attempt().start()
    assert child.wait(120) == EXIT_DONE, log(run)
    assert run.events("resumed")
    assert_same(run, alone)
    result = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
    assert result["resolved"]["processes"] == 2


def test_weights_shared_out_learn_as_one_and_stop_together(sft: Maker) -> None:
    """FSDP2: weights, gradients and optimiser state of the blocks lie in parts; TERM stops all before the same step."""
    alone = sft("alone", method="full", **SETTINGS)
    alone.here()
    parallel = {"processes": 2, "shard": "zero3"}
    run = sft("shared", method="full", parallel=parallel, saving={"keep_best": True}, **SETTINGS)
    child = run.start()
    run.wait_for_step(4, child)
    assert child.poll() is None, log(run)
    os.kill(child.pid, signal.SIGTERM)
    for member in ranks(child.pid):
        os.kill(member, signal.SIGTERM)
    assert child.wait(60) == EXIT_STOPPED, log(run)
    child = run.next_attempt().start()
    assert child.wait(120) == EXIT_DONE, log(run)
    assert_same(run, alone)
    parts, whole = run.samples("memory")[0]["parts"], alone.samples("memory")[0]["parts"]
    for name in ("weights", "gradients", "optimizer"):
        assert parts[name] < 0.75 * whole[name], name  # embeddings stay whole in each process


def test_bad_input_is_told_once(sft: Maker) -> None:
    run = sft(parallel={"processes": 2}, rows=tiny.passages(3))
    child = run.start()
    assert child.wait(60) in (1, EXIT_BAD_INPUT), log(run)
    assert [event["code"] for event in run.events("error")] == ["sft.missing_field"]

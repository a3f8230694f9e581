"""Starts a run as several processes through torchrun, and ends as the run itself ended.

torchrun's own exit code says only that something failed; what a supervisor needs (done, stopped, bad input, lost) is read
from the events of the first process. A process that is killed takes the run with it, and the run dies of the same signal,
so that it is queued again and goes on from its last checkpoint.
"""

import json
import os
import signal
import sys
from pathlib import Path

from workers.program import EXIT_DISK_FULL, EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, die_with_parent, write_json
from workers.spec.run import RunFile

PEER_LOST = 76
"""Exit code of a process that could not go on because another one had ended."""
PEER_IS_GONE = ("connection closed by peer", "connection reset by peer", "broken pipe", "remote process exited")
ENDINGS = {"result": EXIT_DONE, "stopped": EXIT_STOPPED, "error": EXIT_FAILED}


def is_member() -> bool:
    """Whether this process is one of several that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def processes_of(path: Path) -> int:
    """How many processes a run file asks for."""
    spec = json.loads(path.read_text(encoding="utf-8")).get("spec") or {}
    parallel = spec.get("parallel")
    return int(parallel.get("processes") or 1) if isinstance(parallel, dict) else 1


def member_file(path: Path) -> Path:
    """The run file of this process: its share of the threads; all but the first have run directories of their own."""
    run, rank = RunFile.model_validate_json(path.read_text(encoding="utf-8")), int(os.environ["RANK"])
    threads = max(1, run.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    own = run.run_dir if rank == 0 else run.run_dir / "ranks" / str(rank)
    own.mkdir(parents=True, exist_ok=True)
    target = own / "member.json"
    write_json(target, run.model_copy(update={"run_dir": own, "threads": threads}).model_dump(mode="json"))
    return target


def launch(path: Path, processes: int) -> None:
    """Run all processes and exit with the code of the run."""
    die_with_parent()
    events = RunFile.model_validate_json(path.read_text(encoding="utf-8")).run_dir / "events.jsonl"
    before = events.stat().st_size if events.exists() else 0
    os.environ.pop("SHUYUAN_NICE", None)  # the processes inherit it
    os.environ.update(SHUYUAN_PARENT=str(os.getpid()), GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    codes = _torchrun(
        ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}", "-m", "workers.train", str(path)]
    )
    ending = _last_event(events, before)
    if EXIT_DISK_FULL in codes:
        sys.exit(EXIT_DISK_FULL)
    if ending in ENDINGS:
        sys.exit(ENDINGS[ending])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGKILL)


def _torchrun(arguments: list[str]) -> list[int]:
    """Exit codes of the processes that failed."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        print(f"A process of the run ended: {error.get_first_failure()[1].message}", flush=True)
        return [failure.exitcode for failure in error.failures.values()]
    except SignalException as error:
        print(f"The run was ended by {error.sigval.name}.", flush=True)
    return []


def _last_event(events: Path, before: int) -> str:
    """Type of the last event that was written after the file had `before` bytes."""
    if not events.exists():
        return ""
    lines = events.read_bytes()[before:].splitlines()
    try:
        return str(json.loads(lines[-1])["type"]) if lines else ""
    except ValueError:
        return ""


def leave_when_peer_is_lost(error: Exception) -> None:
    """End at once, without an error of one's own, when it was another process that ended."""
    from torch import distributed

    words = str(error).lower()
    lost = isinstance(error, distributed.DistError) or any(
        part in words for part in ("gloo", "nccl", "connection closed by peer")
    )
    if lost:
        print(f"Another process of the run has ended ({str(error)[:200]}).", flush=True)
        os._exit(PEER_LOST)

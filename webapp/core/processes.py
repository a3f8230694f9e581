"""Processes on this host: who we are, whether a process that we once started still lives, and how to end its group."""

import os
import signal
import socket
from functools import cache
from pathlib import Path

MEMORY_EVENTS = Path("/proc/vmstat")


@cache
def host() -> str:
    return socket.gethostname()


def start_time(pid: int) -> float | None:
    """When the process started, in clock ticks since boot; with the pid it names a process for good. None: no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _start_time_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else float(fields[19])


def _start_time_elsewhere(pid: int) -> float | None:
    """Systems without /proc only tell whether a process is there."""
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return None
    return 0.0


def is_alive(pid: int | None, started: float | None) -> bool:
    return pid is not None and (now := start_time(pid)) is not None and (started is None or now == started)


def kills_for_memory() -> int:
    """How many processes the kernel has killed since its start because memory ran out; 0 where it does not tell."""
    try:
        lines = MEMORY_EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def kill_group(pid: int | None, started: float | None, how: int = signal.SIGKILL) -> bool:
    """Signal a process group that we started, and only that one: a pid that was given away is left alone."""
    if pid is None or not is_alive(pid, started):
        return False
    try:
        os.killpg(pid, how)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@cache
def _own_identity(pid: int) -> str:
    return f"{host()}:{pid}:{start_time(pid)}"


def identity() -> str:
    """Names this process for good: host, pid and start time."""
    return _own_identity(os.getpid())


def owner_is_gone(owner: str) -> bool:
    """True when `owner` (an identity) was a process of this host that no longer lives. Other hosts: only the lease tells."""
    name, _, rest = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if name != host() or not rest.isdigit() or started in {"", "None"}:
        return False
    return not is_alive(int(rest), float(started))

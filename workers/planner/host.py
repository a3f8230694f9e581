"""What this machine has: free memory of the host, and its NVIDIA cards as the driver names them."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from workers.planner.cards import CARDS, GIB, Device

CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Files of a container's memory limit and use, in both versions of control groups."""


def host_memory() -> tuple[float, float]:
    """(bytes in all, bytes that a new process may take now); a container's own limit counts."""
    facts: dict[str, float] = {}
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            facts[name] = float(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 8.0 * GIB, 4.0 * GIB
    total, free = facts.get("MemTotal", 8.0 * GIB), facts.get("MemAvailable", 4.0 * GIB)
    limit, used = _container()
    if limit:
        total, free = min(total, limit), min(free, max(0.0, limit - used))
    return total, free


def _container() -> tuple[float, float]:
    """(memory limit of the control group or 0, what it uses); the limit of a first version's group without one is absurd."""
    for limit_file, used_file in CONTROL_GROUPS:
        try:
            limit = limit_file.read_text(encoding="ascii").strip()
            used = used_file.read_text(encoding="ascii").strip()
            return (0.0, 0.0) if limit == "max" else (float(limit), float(used))
        except (OSError, ValueError):
            continue
    return 0.0, 0.0


@lru_cache(maxsize=1)
def own_cards() -> tuple[Device, ...]:
    """NVIDIA cards of this machine; their speed is that of the table's card of the same name, or a modest guess."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    found = []
    for line in answer.stdout.splitlines():
        name, _, mebibytes = line.rpartition(",")
        if mebibytes.strip().isdigit():
            found.append(_card(name.strip(), int(mebibytes) / 1024))
    return tuple(found)


def _card(name: str, gib: float) -> Device:
    words = name.upper().replace("-", " ")
    known = [card for card in CARDS.values() if card.name.upper().split()[-1 if card.name.startswith("RTX") else 0] in words]
    nearest = min(known, key=lambda card: abs(card.gib - gib), default=None)
    if nearest is None:
        return Device(name, gib, tflops=60, bandwidth=500, own=True)
    return Device(name, gib, nearest.tflops, nearest.bandwidth, half=nearest.half, own=True)


def own_processor(name: str) -> Device:
    """The host as a device: what a run on the processor may take now."""
    _, free = host_memory()
    return Device(name, free / GIB, tflops=0, bandwidth=0, kind="cpu", own=True)

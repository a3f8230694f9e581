"""What this machine has: free memory of the host, and its NVIDIA cards as the driver names them."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from workers.planner.cards import CARDS, GIB, Device

CONTROL_GROUPS = (
    ("", Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    ("memory", Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Both versions of control groups: controller, where they lie, files of a group's memory limit and use."""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OWN_GROUPS = Path("/proc/self/cgroup")
CACHE = ("inactive_file", "total_inactive_file")
"""What of a group's use the kernel gives up at once when somebody needs it: pages of files."""


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
    for controller, root, limit_file, used_file in CONTROL_GROUPS:
        for group in _groups(controller, root):
            limit, used = _number(group / limit_file), _number(group / used_file)
            if limit is not None and used is not None:
                total, free = min(total, limit), min(free, max(0.0, limit - used + _cache(group)))
    return total, free


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """This process's control group and those above it, each of which may have a limit."""
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    paths = [path for _, names, path in (line.split(":", 2) for line in lines) if controller in names.split(",")]
    own = root / paths[0].lstrip("/") if paths and ".." not in paths[0] else root
    yield from (group for group in (own, *own.parents) if group.is_relative_to(root))


def _number(file: Path) -> float | None:
    """None where there is no such file, or no limit; that of a first version's group without one is absurdly large."""
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _cache(group: Path) -> float:
    try:
        facts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        return next((float(facts[name]) for name in reversed(CACHE) if name in facts), 0.0)
    except (OSError, ValueError):
        return 0.0


def has_large_pages() -> bool:
    """Whether programs get large pages when they ask for them."""
    try:
        return "[never]" not in LARGE_PAGES.read_text(encoding="ascii")
    except OSError:
        return False


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

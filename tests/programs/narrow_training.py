"""The trainer with a gigabyte of memory: once its libraries are loaded, it may take so much more and no more.

The limit is set beside what the process has by then, so that it means the same on every machine. What the recipe would hold of a
large model (SHUYUAN_HELD bytes) is taken when training begins.
"""

import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.program import Program, main

ROOM = 1 << 30


class Narrow(Program):
    def phase(self, name: str) -> None:
        import torch

        super().phase(name)
        if name == "training":
            torch.empty(int(os.environ["SHUYUAN_HELD"]), dtype=torch.uint8)


def train(program: Program) -> Mapping[str, Any]:
    import peft  # noqa: F401 - what is loaded before the limit does not count

    from workers.train import __main__ as trainer
    from workers.train import sft  # noqa: F401

    program.__class__ = Narrow
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    taken = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (taken + ROOM, taken + ROOM))
    return trainer.train(program)


if __name__ == "__main__":
    main(train)

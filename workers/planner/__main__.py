"""`python -m workers.planner run.json`: measure the machine for two seconds."""

from collections.abc import Mapping
from typing import Any

from workers.program import Program, main


def measure(program: Program) -> Mapping[str, Any]:
    from workers.planner.measuring import run

    return run(program)


if __name__ == "__main__":
    main(measure)

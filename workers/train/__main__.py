"""`python -m workers.train run.json`: set the machine's manners, then hand the run to the method its kind names."""

from collections.abc import Mapping
from typing import Any

from workers.program import Program, main
from workers.train.machine import set_manners
from workers.train.registry import find_method


def train(program: Program) -> Mapping[str, Any]:
    set_manners(program.run)
    return find_method(program.run.kind)(program)


if __name__ == "__main__":
    main(train)

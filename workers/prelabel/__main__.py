"""`python -m workers.prelabel run.json`: the jobs `prelabel` and `assist`."""

from collections.abc import Mapping
from typing import Any

from workers.prelabel.learning import assist
from workers.prelabel.program import prelabel
from workers.program import Program, main


def run(program: Program) -> Mapping[str, Any]:
    return assist(program) if program.run.kind == "assist" else prelabel(program)


if __name__ == "__main__":
    main(run)

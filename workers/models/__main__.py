"""`python -m workers.models run.json`: import, export or merge a model, as the run's kind says."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from workers.program import Program, main

KINDS = {
    "import_model": "workers.models.importing",
    "export_model": "workers.models.exporting",
    "merge_model": "workers.models.merge_job",
}


def work(program: Program) -> Mapping[str, Any]:
    result: Mapping[str, Any] = import_module(KINDS[program.run.kind]).run(program)
    return result


if __name__ == "__main__":
    main(work)

"""`python -m workers.data run.json`: the jobs that bring data in and make data from data."""

from collections.abc import Mapping
from typing import Any

from workers.data.deriving import derive_dataset, store_records
from workers.data.fetching import fetch_dataset
from workers.data.import_program import import_dataset
from workers.program import Program, main
from workers.spec.errors import UserError

KINDS = {
    "import_dataset": import_dataset,
    "fetch_dataset": fetch_dataset,
    "derive_dataset": derive_dataset,
    "store_records": store_records,
}


def run(program: Program) -> Mapping[str, Any]:
    body = KINDS.get(program.run.kind)
    if body is None:
        raise UserError("job.unknown_kind", "This program does not know jobs of kind «{kind}».", kind=program.run.kind)
    return body(program)


if __name__ == "__main__":
    main(run)

"""A small real program for the tests of jobs: counts to `until`, saves after each step, goes on where it stopped."""

import time
from typing import Any

from workers.program import Program, main, write_json
from workers.spec.base import Spec
from workers.spec.errors import UserError


class CountSpec(Spec):
    until: int = 3
    pause: float = 0.0
    fail_at: int | None = None
    crash_at: int | None = None
    ignore_stop: bool = False


def count(program: Program) -> dict[str, Any]:
    spec = CountSpec.model_validate(program.run.spec)
    saved = program.run.run_dir / "saved.json"
    start = int(saved.read_text()) if saved.exists() else 0
    program.phase("counting")
    for step in range(start, spec.until):
        if not spec.ignore_stop:
            program.check_stop()
        if step == spec.fail_at:
            raise UserError("count.unlucky", "The number {number} brings bad luck; choose another.", number=step)
        if step == spec.crash_at:
            raise RuntimeError("boom")
        program.metric(step, loss=1.0 / (step + 1))
        program.progress(step + 1, spec.until, unit="steps")
        write_json(saved, step + 1)
        time.sleep(spec.pause)
    print("counted", flush=True)
    (program.run.output_dir / "total.txt").write_text(str(spec.until))
    program.artifact("total", program.run.output_dir / "total.txt")
    return {"total": spec.until, "started_at": start}


if __name__ == "__main__":
    main(count)

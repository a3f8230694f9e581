"""`python -m workers.evaluate run.json`: the job `evaluate`."""

import sys
from pathlib import Path

from workers.program import main
from workers.spec.run import RunFile
from workers.train.machine import set_manners

if __name__ == "__main__":
    set_manners(RunFile.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
    from workers.evaluate.program import evaluate

    main(evaluate)

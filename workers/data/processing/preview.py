"""`python -m workers.data.processing.preview request.json answer.json`: what the stages would do with a few records.

The request has `records` (a canonical file), `stages`, `sets` (name → file), `media` (the folder), `held` (digests of the
files that the version holds) and `work` (a folder to use).
"""

import json
import sys
from pathlib import Path

from workers.data.processing.assembly import assemble
from workers.data.processing.extraction import MediaFiles
from workers.data.processing.pipeline import Pipeline, Watcher
from workers.program import die_with_parent, write_json
from workers.spec.processing import Stages

SECONDS_PER_DOCUMENT = 5.0


def main(asked: Path, answer: Path) -> None:
    die_with_parent()
    request = json.loads(asked.read_text(encoding="utf-8"))
    stages = Stages.model_validate(request["stages"])
    sets = {name: Path(path) for name, path in request["sets"].items()}
    media = MediaFiles(Path(request["media"]), frozenset(request["held"]))
    made = assemble(stages, media=media, sets=sets, seconds=SECONDS_PER_DOCUMENT)
    silent = Watcher(stage=lambda _name: None, progress=lambda _share: None, check=lambda: None)
    pipeline = Pipeline(Path(request["records"]), Path(request["work"]), made, "preview", silent)
    pipeline.run()
    write_json(answer, {"stages": pipeline.reports()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

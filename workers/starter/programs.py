"""Runs the product's training programs as the product does: a run file in, a result and a model folder out."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.spec.base import Spec
from workers.spec.run import DatasetInput, FileInput, ModelInput, RunFile

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finished:
    """`folder` holds the model (or tokenizer) that the program made."""

    folder: Path
    result: Mapping[str, Any]


def dataset_input(path: Path) -> DatasetInput:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return DatasetInput(id=0, name=path.stem, path=path, sha256=digest, count=content.count(b"\n"))


def model_input(folder: Path) -> ModelInput:
    return ModelInput(id=0, name=folder.name, path=folder)


def run_program(
    program: str,
    *,
    kind: str,
    spec: Spec,
    inputs: Mapping[str, DatasetInput | ModelInput],
    work: Path,
    threads: int,
) -> Mapping[str, Any]:
    """`python -m workers.<program>` in the folder `work`; its `result.json`. Raises RuntimeError with the log's end.

    In a folder where the same run was begun before, it goes on (or has nothing left to do).
    """
    work.mkdir(parents=True, exist_ok=True)
    run_file = work / "run.json"
    given: dict[str, DatasetInput | ModelInput | FileInput] = dict(inputs)
    run = RunFile(
        job=0,
        attempt=2 if run_file.exists() else 1,
        kind=kind,
        spec=spec.model_dump(mode="json"),
        inputs=given,
        run_dir=work / "run",
        output_dir=work / "output",
        threads=threads,
    )
    run_file.write_text(run.model_dump_json(), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", f"workers.{program}", str(run_file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{program} ({kind}) ended with {ended.returncode}:\n{ended.stdout[-2000:]}")
    result: Mapping[str, Any] = json.loads((run.run_dir / "result.json").read_text(encoding="utf-8"))
    return result


def train(kind: str, spec: Spec, inputs: Mapping[str, DatasetInput | ModelInput], work: Path, threads: int) -> Finished:
    """Tokenizer training, pre-training or fine-tuning."""
    result = run_program("train", kind=kind, spec=spec, inputs=inputs, work=work, threads=threads)
    names = [name for name in ("model", "adapter") if (work / "output" / name).is_dir()]
    return Finished(work / "output" / names[0], result)

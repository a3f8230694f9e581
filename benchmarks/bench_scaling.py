"""Two processes that share each step against one, each on one core: scaling = speed of two / (2 × speed of one).

`python benchmarks/bench_scaling.py [--shape 10M --rounds 3 --shard none]`. Each round runs, one after the other on the cores
0 and 1: one process on one core; two that share a run; two separate runs at the same time. The last one exchanges nothing,
so it shows what this machine's memory and other load cost (`ceiling`); the rest of the loss is the exchange, and documents that
cannot be shared out evenly: those of one length are 17 or 16 to a step, so that one process often has 9 and the other 8.
`by_processor` is the same ratio from processor seconds of the first process, which other programs disturb less. Goal: 0.85.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_planner import run_file, write_base  # noqa: E402

SECONDS = 600


def prepare(folder: Path, base: Path, case: dict[str, Any], parallel: dict[str, Any], threads: int) -> Path:
    folder.mkdir(parents=True)
    path = run_file(folder, case, base, threads)
    run = json.loads(path.read_text(encoding="utf-8"))
    run["spec"]["parallel"] = parallel
    run["spec"]["epochs"] = case["epochs"]
    del run["spec"]["optimisation"]["micro_batch_tokens"]  # as the product chooses it
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


def start(run: Path, cores: str) -> subprocess.Popen[bytes]:
    command = ["taskset", "-c", cores, sys.executable, "-m", "workers.train", str(run)]
    with (run.parent / "log.txt").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(run: Path, child: subprocess.Popen[bytes]) -> tuple[float, float]:
    """(tokens per second of the whole run, processor seconds of its first process); start and saving not counted."""
    if child.wait(SECONDS):
        raise SystemExit((run.parent / "log.txt").read_text(encoding="utf-8")[-2000:])
    result = json.loads((run.parent / "run" / "result.json").read_text(encoding="utf-8"))
    return float(result["tokens_per_second"]), float(result["processor_seconds"])


def one_round(folder: Path, base: Path, case: dict[str, Any], shard: str) -> dict[str, float]:
    alone = prepare(folder / "alone", base, case, {}, 1)
    one, work = finish(alone, start(alone, "0"))
    shared = prepare(folder / "shared", base, case, {"processes": 2, "shard": shard}, 2)
    two, half = finish(shared, start(shared, "0,1"))
    apart = [prepare(folder / f"apart-{core}", base, case, {}, 1) for core in (0, 1)]
    children = [start(run, str(core)) for core, run in enumerate(apart)]
    both = sum(finish(run, child)[0] for run, child in zip(apart, children, strict=True))
    ratios = {"scaling": two / (2 * one), "ceiling": both / (2 * one), "by_processor": work / (2 * half)}
    return {"one": one, "two": two, "apart": both, **ratios}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shape", default="10M")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--shard", default="none", choices=("none", "zero2", "zero3"))
    options.add_argument("--tokens", type=int, default=4096, help="tokens of a step")
    options.add_argument("--lengths", default="equal", choices=("equal", "mixed"))
    options.add_argument("--epochs", type=float, default=4, help="of three steps (mixed lengths: five)")
    given = options.parse_args()
    if shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("This benchmark needs taskset and two cores.")
    case = {
        "shape": given.shape, "vocabulary": 4096, "method": "full", "sequence": 256, "tokens": given.tokens, "passes": 1,
        "precision": "float32", "checkpointing": False, "epochs": given.epochs, "ragged": given.lengths == "mixed",
        "optimizer": "adamw", "rank": 16,
    }  # fmt: skip
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "model").mkdir()
        base = write_base(Path(name) / "model", case)
        for number in range(given.rounds):
            rounds.append(one_round(Path(name) / str(number), base, case, given.shard))
            print(json.dumps({key: round(value, 3) for key, value in rounds[-1].items()}), flush=True)
    found = {key: round(statistics.median(item[key] for item in rounds), 3) for key in ("scaling", "ceiling", "by_processor")}
    of_ceiling = statistics.median(item["two"] / item["apart"] for item in rounds)
    figure = {"figure": "scaling of two processes", "goal": 0.85, **found, "of_ceiling": round(of_ceiling, 3)}
    print(
        json.dumps({**figure, "load": os.getloadavg()[0], "shape": given.shape, "lengths": given.lengths, "shard": given.shard}),
        flush=True,
    )


if __name__ == "__main__":
    main()

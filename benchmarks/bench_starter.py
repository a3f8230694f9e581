"""The starter from nothing, once for each seed: tokenizer, pre-training, fine-tuning and examination (goal 6 minutes on two idle
cores), and what base and tuned model score on held-out items (goals: base ≈ 0 %, tuned ≥ 70 % customer service and ≥ 85 % tool
calls, in each seed). `--seeds 0 1`, `--size small`; processor seconds stand beside the wall clock, for a machine with company."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from workers.starter.recipe import SIZES

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2, 3, 4)
SECONDS = 360
GOALS = {"customer_service": 0.7, "tool_calls": 0.85}
MOST_OF_BASE = 0.02


def processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make(seed: int, size: str, threads: int, folder: Path) -> dict[str, Any]:
    """Build one starter in a process of its own: times, scores, and which goals it meets."""
    command = [sys.executable, "-m", "workers.starter.build", str(folder), "--size", size]
    command += ["--seed", str(seed), "--threads", str(threads)]
    began, used = time.perf_counter(), processor_seconds()
    with (folder.parent / f"seed-{seed}.log").open("wb") as log:
        subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=subprocess.STDOUT)
    wall, processor = time.perf_counter() - began, processor_seconds() - used
    base, tuned = (json.loads((folder / name / "card.json").read_text(encoding="utf-8")) for name in ("base", "tuned"))
    scores = {name: round(tuned["held_out"][name]["score"], 4) for name in GOALS}
    of_base = {name: round(base["held_out"][name]["score"], 4) for name in GOALS}
    return {
        "seed": seed,
        "seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
        "load": os.getloadavg()[0],
        "jobs": {job["name"]: round(job["seconds"], 1) for job in tuned["jobs"]},
        "base": of_base,
        "tuned": scores,
        "learnt": all(scores[name] >= goal for name, goal in GOALS.items()) and max(of_base.values()) <= MOST_OF_BASE,
        "in_time": wall <= SECONDS,
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_starter", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", type=Path, help="folder for what is made; left open: thrown away")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        found = []
        for seed in given.seeds:
            folder = (given.keep or Path(name)).resolve() / f"seed-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            found.append(make(seed, given.size, given.threads, folder))
            print(json.dumps(found[-1]), flush=True)
    lowest = {name: min(run["tuned"][name] for run in found) for name in GOALS}
    report = {
        "figure": f"starter ({given.size}), lowest score of {len(found)} seeds",
        "lowest": lowest,
        "goal": GOALS,
        "highest_of_base": max(max(run["base"].values()) for run in found),
        "slowest_seconds": max(run["seconds"] for run in found),
        "goal_seconds": SECONDS,
        "met": all(run["learnt"] and run["in_time"] for run in found),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Predicted beside measured peak memory of small training runs, each a real run of the trainer as a child process.

`python benchmarks/bench_planner.py` runs all configurations (about 6 s each on one core); `--take 0,5,9` or `--every 3` a part.
Prints one JSON line per configuration and a summary; the measured peak is the child's resident memory as the kernel counts it.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from workers.planner.cards import verdict  # noqa: E402
from workers.planner.memory import predict_memory  # noqa: E402
from workers.planner.plan import TrainingPlan  # noqa: E402
from workers.planner.shape import ModelShape, shape_from_config  # noqa: E402

SHAPES: dict[str, dict[str, int]] = {
    "10M": {"hidden_size": 320, "layers": 7, "heads": 5, "intermediate_size": 864},
    "27M": {"hidden_size": 512, "layers": 8, "heads": 8, "intermediate_size": 1376},
    "60M": {"hidden_size": 640, "layers": 12, "heads": 10, "kv_heads": 5, "intermediate_size": 1728},
    "110M": {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 2048},
}
VOCABULARIES = (4096, 32000)


def configurations() -> Iterator[dict[str, Any]]:
    """Shapes × methods × lengths × passes, thinned to what one sitting can run."""
    full = itertools.product(("10M", "27M", "60M"), VOCABULARIES, ("full",), ((128, 1024, 1), (512, 2048, 1), (256, 1024, 2)))
    lora = itertools.product(("27M", "60M", "110M"), VOCABULARIES, ("lora",), ((128, 1024, 1), (512, 2048, 1)))
    more = (
        ("27M", 32000, "qlora", (256, 1024, 1)),
        ("60M", 4096, "qlora", (512, 2048, 1)),
        ("27M", 4096, "full", (512, 2048, 1), True),
        ("60M", 32000, "full", (256, 2048, 1), True),
        ("60M", 32000, "lora", (512, 2048, 1), True),
        ("110M", 32000, "lora", (256, 2048, 2), True),
    )
    for number, (shape, vocabulary, method, (sequence, tokens, passes), *checkpointing) in enumerate((*full, *lora, *more)):
        yield {
            "shape": shape, "vocabulary": vocabulary, "method": method, "sequence": sequence, "tokens": tokens,
            "passes": passes, "precision": "float32" if number % 2 else "bfloat16", "checkpointing": bool(checkpointing),
        }  # fmt: skip


def write_base(folder: Path, case: dict[str, Any]) -> Path:
    """A random Llama of the shape in a process of its own, so that this one never holds it."""
    code = (
        "import sys, json, torch; from pathlib import Path; from workers.data.templates import load_template;"
        "from workers.spec.train import Architecture; from workers.train import models;"
        "from workers.train.tokenizer import learn, write_folder;"
        "folder, shape, size = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]);"
        "(folder / 'tokenizer').mkdir(parents=True); (folder / 'base').mkdir();"
        "write_folder(folder / 'tokenizer', learn(['a few plain words to learn from ' * 3], vocabulary=300, split_digits=True,"
        " special_tokens=['<|endoftext|>', '<|im_start|>', '<|im_end|>']));"
        "template = load_template(folder / 'tokenizer');"
        "model = models.new_llama(Architecture(**shape, context_length=4096), template, 0); model.resize_token_embeddings(size);"
        "models.save_model(model, folder / 'base', source=folder / 'tokenizer', template=template, dtype=torch.float32)"
    )
    shape = json.dumps(SHAPES[case["shape"]])
    subprocess.run([sys.executable, "-c", code, str(folder), shape, str(case["vocabulary"])], cwd=ROOT, check=True)
    return folder / "base"


def write_data(path: Path, case: dict[str, Any], rows: int) -> None:
    """Conversations of nearly the wanted length: about one letter a token."""
    dice = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            letters = "".join(dice.choices("abcdefghij", k=max(16, case["sequence"] - 24)))
            third = len(letters) // 3
            turns = [{"role": "user", "content": letters[:third]}, {"role": "assistant", "content": letters[third:]}]
            file.write(json.dumps({"id": str(number), "messages": turns}) + "\n")


def run_file(folder: Path, case: dict[str, Any], base: Path, threads: int) -> Path:
    per_step = case["tokens"] * case["passes"]
    rows = max(24, 3 * per_step // case["sequence"])
    write_data(folder / "data.jsonl", case, rows)
    optimisation = {
        "tokens_per_step": per_step,
        "micro_batch_tokens": case["tokens"],
        "precision": case["precision"],
        "gradient_checkpointing": "on" if case["checkpointing"] else "off",
    }
    spec = {
        "name": "bench", "base_model": 1, "datasets": [1], "method": case["method"], "epochs": 1, "held_out_fraction": 0,
        "optimisation": optimisation, "saving": {"every_seconds": 10_000},
    }  # fmt: skip
    dataset = {"kind": "dataset", "id": 1, "name": "bench", "path": str(folder / "data.jsonl"), "sha256": "0" * 64, "count": rows}
    model = {"kind": "model", "id": 1, "name": "bench", "path": str(base)}
    run = {
        "job": 1, "kind": "sft", "spec": spec, "inputs": {"dataset": dataset, "base_model": model}, "threads": threads,
        "run_dir": str(folder / "run"), "output_dir": str(folder / "out"),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder / "run.json"


def measure(folder: Path, run: Path, threads: int) -> tuple[float, dict[str, float]]:
    """(peak bytes as the kernel counts them, the largest seen in each phase)."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with (folder / "log.txt").open("wb") as log:
        command = [sys.executable, "-m", "workers.train", str(run)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
    seen: dict[str, float] = {}
    watching = threading.Thread(target=_watch, args=(child.pid, folder / "run" / "events.jsonl", seen), daemon=True)
    watching.start()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    watching.join()
    if child.returncode:
        raise SystemExit((folder / "log.txt").read_text(encoding="utf-8")[-2000:])
    return usage.ru_maxrss * 1024.0, seen


def _watch(pid: int, events: Path, seen: dict[str, float]) -> None:
    while True:
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            resident = next((line.split()[1] for line in lines if line.startswith("VmRSS")), None)
        except (OSError, ProcessLookupError):
            return
        if resident is None:
            return
        phase = "starting"
        if events.exists():
            for line in events.read_text(encoding="utf-8", errors="replace").splitlines():
                if '"type":"phase"' in line and line.endswith("}"):
                    phase = json.loads(line)["name"]
        seen[phase] = max(seen.get(phase, 0.0), float(resident) * 1024)
        time.sleep(0.02)


def predicted(case: dict[str, Any], shape: ModelShape) -> Any:
    plan = TrainingPlan(
        method=case["method"],
        sequence=case["sequence"],
        tokens=case["tokens"],
        passes=case["passes"],
        precision=case["precision"],
        checkpointing=case["checkpointing"],
        stored_bytes=4,
    )
    return predict_memory(shape, plan)


def compare(case: dict[str, Any], threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = write_base(folder, case)
        shape = shape_from_config(json.loads((base / "config.json").read_text(encoding="utf-8")))
        assert shape is not None
        found = predicted(case, shape)
        peak, seen = measure(folder, run_file(folder, case, base, threads), threads)
    return {
        **case,
        "measured_mb": round(peak / 1e6, 1),
        "predicted_mb": round(found.total / 1e6, 1),
        "error": round(found.total / peak - 1, 3),
        "verdict_at_measured": verdict(found.total, peak * 0.999),
        "peak_at": found.peak_at,
        "parts_mb": {name: round(value / 1e6, 1) for name, value in found.parts.items()},
        "seen_mb": {name: round(value / 1e6, 1) for name, value in seen.items()},
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="run each n-th configuration")
    options.add_argument("--take", default="", help="numbers of configurations, separated by commas")
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    cases = list(configurations())
    chosen = [cases[int(text)] for text in given.take.split(",")] if given.take else cases[:: given.every]
    rows = []
    for case in chosen:
        rows.append(compare(case, given.threads))
        print(json.dumps(rows[-1]), flush=True)
    errors = [abs(row["error"]) for row in rows]
    print(
        json.dumps(
            {
                "configurations": len(rows),
                "median_error": round(statistics.median(errors), 3),
                "worst_error": max(errors),
                "fits_that_ran_out": sum(row["verdict_at_measured"] == "fits" for row in rows),
            }
        )
    )


if __name__ == "__main__":
    main()

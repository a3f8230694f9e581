"""Predicted beside measured peak memory and speed of small training runs, each a real run of the trainer as a child process.

`python benchmarks/bench_planner.py` runs all configurations (10 to 60 s each on one core); `--take 0,5,9` or `--every 3` a part;
`--known file` takes the lines of an earlier run instead of measuring those configurations again; `--at-once 4` runs four at a
time (memory does not depend on the load). Prints one JSON line per configuration and a summary; the measured peak is the
child's resident memory as the kernel counts it. `--times` measures speeds instead, on an idle machine, with the constants of
the two-second calibration taken just before.

Some of the planner's constants for CPUs were fitted to such measurements, so that their errors flatter them. Therefore the
summary also fits the constants again to one half of the configurations and tells the errors on the other half, both ways round.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from workers.planner import memory  # noqa: E402
from workers.planner.cards import verdict  # noqa: E402
from workers.planner.host import has_large_pages  # noqa: E402
from workers.planner.memory import predict_memory  # noqa: E402
from workers.planner.plan import TrainingPlan  # noqa: E402
from workers.planner.shape import ModelShape  # noqa: E402
from workers.planner.timing import Speed, predict_time  # noqa: E402

SHAPES: dict[str, dict[str, int]] = {
    "10M": {"hidden_size": 320, "layers": 7, "heads": 5, "intermediate_size": 864},
    "27M": {"hidden_size": 512, "layers": 8, "heads": 8, "intermediate_size": 1376},
    "60M": {"hidden_size": 640, "layers": 12, "heads": 10, "kv_heads": 5, "intermediate_size": 1728},
    "110M": {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 2048},
}
VOCABULARIES = (4096, 32000)
LENGTHS = ((128, 1024, 1), (512, 2048, 1), (256, 1024, 2))
"""Tokens of the longest row, of a pass, passes of a step."""
OPTIMIZERS = ("adamw", "adamw", "adamw_8bit", "adamw", "adafactor")
TIMED = (1, 4, 8, 10, 13, 14, 24, 25, 26, 27, 31, 36)
"""Configurations whose speed is measured: every method, both precisions, short and long rows."""
Case = dict[str, Any]


def case(shape: str, vocabulary: int, method: str, lengths: tuple[int, int, int], **more: Any) -> Case:
    """`ragged`: rows of a quarter of the length up to the length, and more steps, as in real data."""
    sequence, tokens, passes = lengths
    usual = {"precision": "bfloat16", "checkpointing": False, "optimizer": "adamw", "rank": 16, "ragged": False}
    sizes = {"sequence": sequence, "tokens": tokens, "passes": passes}
    return {"shape": shape, "vocabulary": vocabulary, "method": method, **sizes, **usual, **more}


def configurations() -> Iterator[Case]:
    """Shapes × methods × lengths × passes × precision × optimiser, thinned to what one sitting can run."""
    full = itertools.product(("10M", "27M", "60M"), VOCABULARIES, LENGTHS)
    for number, (shape, vocabulary, lengths) in enumerate(full):
        more = {"optimizer": OPTIMIZERS[number % 5], "ragged": number % 4 == 3}
        yield case(shape, vocabulary, "full", lengths, precision=("bfloat16", "float32")[number % 2], **more)
    lora = itertools.product(("27M", "60M", "110M"), VOCABULARIES, LENGTHS[:2])
    for number, (shape, vocabulary, lengths) in enumerate(lora):
        more = {"rank": (8, 16, 64)[number % 3], "ragged": number % 4 == 3}
        yield case(shape, vocabulary, "lora", lengths, precision=("bfloat16", "float32")[number % 2], **more)
    yield case("27M", 32000, "qlora", (256, 1024, 1))
    yield case("60M", 4096, "qlora", (512, 2048, 1), precision="float32")
    yield case("110M", 32000, "qlora", (512, 1024, 2), ragged=True)
    yield case("110M", 4096, "qlora", (1024, 2048, 1), optimizer="adamw_8bit", checkpointing=True)
    yield case("27M", 4096, "full", (512, 2048, 1), checkpointing=True)
    yield case("60M", 32000, "full", (256, 2048, 1), precision="float32", checkpointing=True)
    yield case("60M", 32000, "lora", (512, 2048, 1), precision="float32", checkpointing=True)
    yield case("110M", 32000, "lora", (256, 2048, 2), checkpointing=True, ragged=True)
    yield case("110M", 4096, "full", (256, 1024, 1))
    yield case("60M", 4096, "full", (1024, 4096, 1), checkpointing=True)
    yield case("110M", 32000, "lora", (1024, 4096, 1), rank=32)
    yield case("10M", 32000, "full", (1024, 4096, 2), precision="float32")


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


def write_data(path: Path, case: Case, rows: int) -> None:
    """Conversations of nearly the wanted length: about one letter a token. The first one is the longest."""
    dice = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            length = dice.randint(case["sequence"] // 4, case["sequence"]) if case["ragged"] and number else case["sequence"]
            letters = "".join(dice.choices("abcdefghij", k=max(16, length - 24)))
            third = len(letters) // 3
            turns = [{"role": "user", "content": letters[:third]}, {"role": "assistant", "content": letters[third:]}]
            file.write(json.dumps({"id": str(number), "messages": turns}) + "\n")


def usual_length(case: Case) -> int:
    return case["sequence"] * 5 // 8 if case["ragged"] else case["sequence"]


def run_file(folder: Path, case: Case, base: Path, threads: int) -> Path:
    per_step, steps = case["tokens"] * case["passes"], 5 if case["ragged"] else 3
    rows = max(8, steps * per_step // usual_length(case))
    write_data(folder / "data.jsonl", case, rows)
    optimisation = {
        "tokens_per_step": per_step,
        "micro_batch_tokens": case["tokens"],
        "precision": case["precision"],
        "optimizer": case["optimizer"],
        "gradient_checkpointing": "on" if case["checkpointing"] else "off",
    }
    spec = {
        "name": "bench", "base_model": 1, "datasets": [1], "method": case["method"], "epochs": 1, "held_out_fraction": 0,
        "lora": {"rank": case["rank"]}, "optimisation": optimisation, "saving": {"every_seconds": 10_000},
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
        time.sleep(0.2)


def plan_of(case: Case) -> TrainingPlan:
    """A base of random weights never learnt the chat template's tokens, so adapters learn their embeddings, too."""
    return TrainingPlan(
        method=case["method"],
        sequence=case["sequence"],
        typical=usual_length(case),
        tokens=case["tokens"],
        passes=case["passes"],
        precision=case["precision"],
        checkpointing=case["checkpointing"],
        optimizer=case["optimizer"],
        rank=case["rank"],
        new_tokens=case["method"] != "full",
        stored_bytes=4,
        large_pages=case.get("large_pages", True),
    )


def shape_of(case: Case) -> ModelShape:
    sizes = SHAPES[case["shape"]]
    heads = sizes["heads"]
    return ModelShape(
        case["shape"], sizes["hidden_size"], sizes["layers"], heads, sizes.get("kv_heads", heads), sizes["intermediate_size"],
        case["vocabulary"], tied=True,
    )  # fmt: skip


def compare(case: Case, threads: int, bases: Path) -> Case:
    """One run: predicted and measured peak, and tokens per second."""
    base = bases / f"{case['shape']}-{case['vocabulary']}"
    found = predict_memory(shape_of(case), plan_of(case))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peak, seen = measure(folder, run_file(folder, case, base / "base", threads), threads)
        result = json.loads((folder / "run" / "result.json").read_text(encoding="utf-8"))
        speed = steady_speed(folder / "run" / "events.jsonl")
    return {
        **case,
        "large_pages": has_large_pages(),
        "measured_mb": round(peak / 1e6, 1),
        "predicted_mb": round(found.total / 1e6, 1),
        "error": round(found.total / peak - 1, 3),
        "verdict_at_measured": verdict(found.total, peak * 0.999),
        "peak_at": found.peak_at,
        "parts_mb": {name: round(value / 1e6, 1) for name, value in found.parts.items()},
        "counted_mb": {name: round(value / 1e6, 1) for name, value in result["memory"].items()},
        "seen_mb": {name: round(value / 1e6, 1) for name, value in seen.items()},
        "tokens_per_second": round(speed, 1),
    }


def steady_speed(events: Path) -> float:
    """Tokens per second of the steps after the first one, in which kernels are made and memory is touched for the first time.

    The trainer tells the mean of the steps so far, which are about equally long.
    """
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    values = [line["values"] for line in lines if line["type"] == "metric"]
    told = [found["tokens_per_second"] for found in values if "tokens_per_second" in found]
    return (len(told) - 1) / (len(told) / told[-1] - 1 / told[0])


def make_bases(cases: list[Case], bases: Path) -> None:
    for case in cases:
        folder = bases / f"{case['shape']}-{case['vocabulary']}"
        if not folder.exists():
            write_base(folder, case)


# Speed


def calibrated(threads: int) -> Speed:
    """The planner's own two-second measurement, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        run = {
            "job": 1, "kind": "measure", "spec": {"seconds": 2.0}, "inputs": {}, "threads": threads,
            "run_dir": f"{name}/run", "output_dir": f"{name}/out",
        }  # fmt: skip
        (Path(name) / "run.json").write_text(json.dumps(run), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "workers.planner", f"{name}/run.json"], cwd=ROOT, check=True)
        found = json.loads((Path(name) / "run" / "result.json").read_text(encoding="utf-8"))
    return Speed(found["float32"], found["bfloat16"], found["bandwidth"], measured=True)


def compare_speed(case: Case, threads: int, bases: Path, speed: Speed) -> Case:
    measured = compare(case, threads, bases)
    found = predict_time(shape_of(case), plan_of(case), speed, 1e6)
    return {
        **measured,
        "threads": threads,
        "predicted_speed": round(found.tokens_per_second, 1),
        "time_error": round(measured["tokens_per_second"] / found.tokens_per_second - 1, 3),
        "time_parts": {name: round(value, 1) for name, value in found.parts.items()},
        "speed": {name: getattr(speed, name) for name in ("float32", "bfloat16", "bandwidth")},
    }


# Fitted on one half, told on the other

SCALARS: tuple[str, ...] = ()
TABLES = ("CPU_HEAP",)
TRIED = (0.6, 0.8, 0.9, 0.97, 1.03, 1.1, 1.25, 1.6)
"""Factors by which each constant is tried in turn, as long as one makes the errors smaller."""
Place = tuple[str, Any]


def places() -> list[Place]:
    """Every constant that was fitted: (name in workers.planner.memory, key in its table or None)."""
    return [(name, None) for name in SCALARS] + [(name, key) for name in TABLES for key in getattr(memory, name)]


def put(place: Place, value: float) -> float:
    """Set a constant; returns what it was."""
    name, key = place
    before: float = getattr(memory, name) if key is None else getattr(memory, name)[key]
    if key is None:
        setattr(memory, name, value)
    else:
        getattr(memory, name)[key] = value
    return before


def errors_of(rows: list[Case]) -> list[float]:
    return [predict_memory(shape_of(row), plan_of(row)).total / (1e6 * row["measured_mb"]) - 1 for row in rows]


def fit(rows: list[dict[str, Any]]) -> None:
    """Coordinate descent on the squared relative errors, from constants that know nothing (every share a half)."""
    for place in places():
        if place[0] in TABLES:
            put(place, 0.5)
    best, better = _loss(rows), True
    while better:
        better = False
        for place, factor in itertools.product(places(), TRIED):
            before = put(place, 0.0)
            put(place, before * factor)
            if (found := _loss(rows)) < best - 1e-9:
                best, better = found, True
            else:
                put(place, before)


def _loss(rows: list[dict[str, Any]]) -> float:
    return sum(error**2 for error in errors_of(rows))


def held_out_errors(rows: list[dict[str, Any]], seed: int = 0) -> list[float]:
    """Errors of each half, predicted with constants that were fitted to the other one."""
    kept = {place: put(place, 1.0) for place in places()}
    order = list(rows)
    random.Random(seed).shuffle(order)
    halves = order[::2], order[1::2]
    found: list[float] = []
    try:
        for seen, told in (halves, halves[::-1]):
            for place, value in kept.items():
                put(place, value)
            fit(seen)
            found += errors_of(told)
    finally:
        for place, value in kept.items():
            put(place, value)
    return found


def known_rows(path: str) -> dict[str, Case]:
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    rows = [json.loads(line) for line in lines if '"measured_mb"' in line]
    return {_name(row): row for row in rows}


def _name(case: Case) -> str:
    keys = ("shape", "vocabulary", "method", "sequence", "tokens", "passes", "precision", "checkpointing", "optimizer", "ragged")
    return json.dumps([case[key] for key in keys])


def summary(title: str, errors: list[float]) -> None:
    sizes = [abs(error) for error in errors]
    found = {"median_error": round(statistics.median(sizes), 3), "worst_error": round(max(sizes), 3)}
    print(json.dumps({"figure": title, "configurations": len(sizes), **found, "goal_median": 0.1, "goal_worst": 0.2}), flush=True)


def tell_memory(rows: list[Case]) -> None:
    summary("memory, constants as shipped", errors_of(rows))
    if len(rows) >= 4:
        summary("memory, fitted to one half and told on the other", held_out_errors(rows))
    totals = [predict_memory(shape_of(row), plan_of(row)).total for row in rows]
    ran_out = sum(verdict(total, 1e6 * row["measured_mb"] * 0.999) == "fits" for row, total in zip(rows, totals, strict=True))
    print(json.dumps({"figure": "said to fit and ran out", "count": ran_out, "goal": 0}), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="run each n-th configuration")
    options.add_argument("--take", default="", help="numbers of configurations, separated by commas")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--known", default="", help="lines of an earlier run")
    options.add_argument("--at-once", type=int, default=1, help="runs side by side (memory only)")
    options.add_argument("--times", action="store_true", help="measure speeds, on an idle machine")
    options.add_argument("--bases", default="", help="folder in which the random bases are kept between runs")
    given = options.parse_args()
    cases = list(configurations())
    numbers = [int(text) for text in given.take.split(",")] if given.take else TIMED if given.times else range(0, 99, given.every)
    chosen = [cases[number] for number in numbers if number < len(cases)]
    known = known_rows(given.known)
    with tempfile.TemporaryDirectory() as temporary:
        bases = Path(given.bases or temporary)
        if given.times:
            make_bases(chosen, bases)
            speed = calibrated(given.threads)
            rows = []
            for case in chosen:
                rows.append(compare_speed(case, given.threads, bases, speed))
                print(json.dumps(rows[-1]), flush=True)
            summary("time from the two-second calibration", [row["time_error"] for row in rows])
            return
        make_bases([case for case in chosen if _name(case) not in known], bases)

        def one(case: Case) -> Case:
            row = known.get(_name(case)) or compare(case, given.threads, bases)
            print(json.dumps(row), flush=True)
            return row

        with ThreadPoolExecutor(given.at_once) as pool:
            rows = list(pool.map(one, chosen))
    tell_memory(rows)


if __name__ == "__main__":
    main()

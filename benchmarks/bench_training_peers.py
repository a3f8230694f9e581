"""Fine-tuning here, with TRL and with LLaMA-Factory: tokens per second of all in one run, at losses that can be compared.

All sides learn the same conversations in the same order, 8 in a step, from the same weights and the same first adapter, with
the same mask, AdamW, constant rate and clipping; they are programs of their own that take turns step by step. Left to each
side is what speed is made of: padding, recomputing, packing, kinds of numbers, how threads wait (peers have OpenMP's default).
«default» is what a user gets who sets none of that; the other settings are the best that we know of. Sides that pack choose their
own batches, so their losses are told, but not compared. The loss at the end is measured by one program on the same held-out
conversations.

A peer is left out when its Python is not given. TRL runs in this project's environment or in a copy of it:
  python -m venv trl-env && trl-env/bin/pip install -r requirements.txt -r requirements/bench.txt
LLaMA-Factory wants older libraries, so it needs an environment of its own:
  python -m venv lf-env && lf-env/bin/pip install torch==2.13.0 llamafactory==0.9.5 bitsandbytes
On a machine without a GPU its torchvision and torchaudio may be builds that do not load: uninstall both and put an empty file
`torchaudio/__init__.py` among the packages.
  python -m benchmarks.bench_training_peers --trl trl-env/bin/python --llama-factory lf-env/bin/python --case lora
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
BATCH, BETA2 = 8, 0.95
RATES = {"lora": 1e-3, "qlora": 1e-3, "full": 3e-4}
RANK, ALPHA = 16, 32
PACKED = "packed"
"""Word in the names of sides that choose their own batches."""
GOALS = {"trl": 5.0, "llama-factory": 3.5}
OTHER_GOAL, BEST_GOAL, LOSS_GOAL = 2.0, 1.8, 0.02


def settings_of(side: str, method: str, room: int) -> dict[str, Any]:
    """What a side sets beside the task; `room`: tokens of a packed row, as many as a step of the others has on average."""
    as_stored = {} if method == "full" else {"model_init_kwargs": {"dtype": "bfloat16"}}
    trl = {"gradient_checkpointing": False, **as_stored}
    factory = {"disable_gradient_checkpointing": True}
    row = {"per_device_train_batch_size": 1}
    grouped = {"train_sampling_strategy": "group_by_length"}
    return {
        "ours": {},
        "trl": {},
        "trl-plain": trl,
        "trl-flat": trl | {"padding_free": True, "max_length": None},
        "trl-grouped": trl | grouped,
        "trl-packed": trl | row | {"packing": True, "max_length": room},
        "llama-factory": {},
        "llama-factory-plain": factory,
        "llama-factory-grouped": factory | grouped | {"disable_shuffling": False},
        "llama-factory-packed": factory | row | {"packing": True, "neat_packing": True, "cutoff_len": room},
    }[side]


SIDES = {
    "ours": "this project",
    "trl": "TRL, default",
    "trl-plain": "TRL, no recomputing, bf16 weights",
    "trl-flat": "TRL, no recomputing, bf16 weights, no padding",
    "trl-grouped": "TRL, no recomputing, bf16 weights, grouped by length (batches differ)",
    "trl-packed": "TRL, no recomputing, bf16 weights, packed (batches differ)",
    "llama-factory": "LLaMA-Factory, default",
    "llama-factory-plain": "LLaMA-Factory, no recomputing",
    "llama-factory-grouped": "LLaMA-Factory, no recomputing, grouped by length (batches differ)",
    "llama-factory-packed": "LLaMA-Factory, no recomputing, neat packing (batches differ)",
}
USUAL = ("ours", "trl", "trl-flat", "trl-packed", "llama-factory", "llama-factory-packed")


class Side:
    """One program, and what its steps took."""

    def __init__(self, name: str, python: str, given: dict[str, Any], folder: Path) -> None:
        self.name, self.steps, self.facts, self.saved, self.failed = name, [], {}, "", ""
        self.log = folder / f"{name}.log"
        script = PEERS / f"side_{'ours' if name == 'ours' else 'trl' if name.startswith('trl') else 'llama_factory'}.py"
        task = folder / f"{name}.json"
        task.write_text(json.dumps({**given, "out": str(folder / name), "cache": str(folder / "cache")}), encoding="utf-8")
        with self.log.open("w", encoding="utf-8") as log:
            self.program = subprocess.Popen(
                [python, str(script), str(task)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder
            )
        self.facts = self.hear()

    def hear(self) -> dict[str, Any]:
        assert self.program.stdout is not None
        line = self.program.stdout.readline()
        if not line:
            self.failed = " / ".join(self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:])[-300:]
            return {}
        found: dict[str, Any] = json.loads(line)
        return found

    def step(self) -> None:
        assert self.program.stdin is not None
        if self.failed:
            return
        self.program.stdin.write("go\n")
        self.program.stdin.flush()
        if found := self.hear():
            self.steps.append(found)

    def finish(self) -> None:
        if not self.failed:
            self.saved = self.hear().get("saved", "")
        self.program.communicate()

    def figures(self, warm_up: int) -> dict[str, Any]:
        kept = self.steps[warm_up:]
        total = {key: sum(step[key] for step in kept) for key in ("tokens", "processed", "seconds", "processor", "learnt")}
        return {
            "tokens_per_second": round(total["tokens"] / total["seconds"], 1),
            "tokens_per_processor_second": round(total["tokens"] / total["processor"], 1),
            "tokens": total["tokens"],
            "processed": total["processed"],
            "learnt": total["learnt"],
            "losses": [round(step["loss"], 4) for step in self.steps],
            "seconds": [round(step["seconds"], 3) for step in self.steps],
            **self.facts,
        }


def race(files: Path, folder: Path, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One case: start all sides, let them take turns, measure what they learnt."""
    facts = json.loads((files / "facts.json").read_text(encoding="utf-8"))
    # LLaMA-Factory pads the tokens of a packed row to a multiple of eight, but not their positions: other sizes fail.
    room = 8 * round(BATCH * facts["mean_tokens"] / 8)
    given = {"files": str(files), "method": method, "rate": RATES[method], "beta2": BETA2, "rank": RANK, "alpha": ALPHA}
    given |= {"batch": BATCH, "steps": options.warm_up + options.steps, "threads": options.threads, "tokens_per_step": room}
    given_pythons = {"ours": sys.executable, "trl": options.trl, "llama-factory": options.llama_factory}
    # Not resolved: an environment's Python is a link, and the environment is where the link lies.
    pythons = {name: path and str(Path(path).absolute()) for name, path in given_pythons.items()}
    left_out = [name for name in options.sides if not pythons[family(name)]]
    sides = []
    for name in options.sides:
        if name not in left_out:
            print(f"{method}: {SIDES[name]} is started", file=sys.stderr, flush=True)
            chosen = {**given, "settings": settings_of(name, method, room)}
            sides.append(Side(name, pythons[family(name)], chosen, folder))
    for _ in range(given["steps"]):
        for side in sides:
            side.step()
    for side in sides:
        side.finish()
    done = {side.name: side for side in sides if side.saved}
    losses = evaluate(files, method, {name: side.saved for name, side in done.items()}, options.threads)
    figures = {name: {**side.figures(options.warm_up), "held_out_loss": losses[name]} for name, side in done.items()}
    failed = {side.name: side.failed for side in sides if not side.saved}
    report = {"case": method, "threads": options.threads, "steps": options.steps, **facts, "base_loss": losses["base"]}
    return {**report, "sides": figures, "left_out": left_out, "failed": failed, "verdict": verdict(method, figures)}


def family(side: str) -> str:
    return next(name for name in ("llama-factory", "trl", "ours") if side.startswith(name))


def evaluate(files: Path, method: str, saved: dict[str, str], threads: int) -> dict[str, float]:
    command = [sys.executable, str(PEERS / "evaluate.py"), str(files), method, json.dumps(saved), str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def verdict(method: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Ratios of this project's speed to the others', each beside its goal."""
    if "ours" not in figures:
        return {}
    found: dict[str, Any] = {}

    def compare(name: str, others: list[str], goal: float) -> None:
        if others:
            rivals = {kind: max(figures[other][kind] for other in others) for kind in KINDS}
            ratios = {kind: round(figures["ours"][kind] / rivals[kind], 2) for kind in KINDS}
            found[name] = {**ratios, "goal": goal, "reached": ratios[KINDS[0]] >= goal}

    for peer, goal in GOALS.items():
        compare(f"{peer} default", [name for name in figures if name == peer], goal if method == "lora" else OTHER_GOAL)
        compare(f"{peer} best", [name for name in figures if name.startswith(f"{peer}-")], BEST_GOAL)
    if "trl" in figures:
        gap = round(figures["ours"]["held_out_loss"] - figures["trl"]["held_out_loss"], 4)
        found["loss minus TRL's"] = {"gap": gap, "goal": LOSS_GOAL, "reached": abs(gap) <= LOSS_GOAL}
    return found


KINDS = ("tokens_per_second", "tokens_per_processor_second")


def show(report: dict[str, Any]) -> None:
    """The report as tables for people."""
    facts = f"{report['conversations']} conversations of {report['mean_tokens']} tokens, {report['learnt_share']:.0%} learnt"
    print(f"\n{report['case']} ({report['data']}): {facts}; base loss {report['base_loss']}; {report['threads']} threads")
    print(f"{'tokens/s':>9} {'per CPU-s':>9} {'padding':>8} {'held-out loss':>14}")
    for name, side in report["sides"].items():
        padding = 1 - side["tokens"] / side["processed"]
        print(
            f"{side['tokens_per_second']:9.1f} {side['tokens_per_processor_second']:9.1f} {padding:8.0%} "
            f"{side['held_out_loss']:14.4f}  {SIDES[name]}"
        )
    for name in report["left_out"]:
        print(f"left out, no Python given: {SIDES[name]}")
    for name, reason in report["failed"].items():
        print(f"failed: {SIDES[name]}: {reason}")
    for name, item in report["verdict"].items():
        value = item["gap"] if "gap" in item else f"{item[KINDS[0]]} × (per CPU-second {item[KINDS[1]]} ×)"
        print(f"{'reached' if item['reached'] else 'MISSED '} {name}: {value}, goal {item['goal']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", metavar="PYTHON", help="Python of the environment with TRL")
    parser.add_argument("--llama-factory", metavar="PYTHON", help="Python of the environment with LLaMA-Factory")
    parser.add_argument("--case", action="append", choices=list(RATES), help="again for more; left open: all")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(USUAL))
    parser.add_argument("--data", choices=("context", "answers"), default="context", help="conversations; see peers/prepare.py")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of each side")
    parser.add_argument("--warm-up", type=int, default=2, help="steps of each side before the clock runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shape", choices=("medium", "small"), default="medium", help="small: a tenth, to try things out")
    parser.add_argument("--files", type=Path, help="folder that keeps base and tokenizer for the next run")
    parser.add_argument("--json", type=Path, help="file to which each case adds one line")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1")
    os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")
    with tempfile.TemporaryDirectory() as place:
        os.environ["HF_DATASETS_CACHE"] = str(Path(place) / "cache")
        files = (options.files or Path(place) / "files").resolve()
        count = BATCH * (options.warm_up + options.steps + 4)
        prepare = [sys.executable, str(PEERS / "prepare.py"), str(files), str(count), options.shape, options.data]
        subprocess.run(prepare, check=True, cwd=ROOT)
        for method in options.case or RATES:
            folder = Path(place) / method
            folder.mkdir()
            report = race(files, folder, method, options)
            show(report)
            if options.json:
                with options.json.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()

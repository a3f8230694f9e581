"""This project's fine-tuning and preference loops beside TRL's trainers with their defaults: same model, data and machine.

Both run in one process and take turns step by step, so that other work on the machine meets both alike. Prints one JSON
line per case: real tokens per second of each side, their ratio, and the loss of both on the same held-out conversations.
`pip install -r requirements/bench.txt`, then `python benchmarks/bench_training_peers.py --steps 3`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
CASES: dict[str, dict[str, Any]] = {
    "sft-lora-90M": {"kind": "sft", "shape": "MEDIUM", "lora": True},
    "sft-full-10M": {"kind": "sft", "shape": "SMALL", "lora": False},
    "dpo-lora-10M": {"kind": "preference", "shape": "SMALL", "lora": True},
}
BATCH = 8
WARM_UP = 1
HELD_OUT = 16


MARKED = (
    "{%- for turn in messages -%}{{- '<|im_start|>' + turn.role + '\\n' -}}"
    "{%- if turn.role == 'assistant' -%}{% generation %}{{- turn.content + '<|im_end|>' -}}{% endgeneration %}"
    "{%- else -%}{{- turn.content + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""The same ChatML as ours, with the marks that TRL needs."""


class Clock:
    """Seconds and real tokens of one side, without its first steps."""

    def __init__(self) -> None:
        self.seconds, self.processor, self.tokens, self.steps = 0.0, 0.0, 0, 0

    def add(self, seconds: float, processor: float, tokens: int) -> None:
        self.steps += 1
        if self.steps > WARM_UP:
            self.seconds, self.processor, self.tokens = self.seconds + seconds, self.processor + processor, self.tokens + tokens


def prepare(folder: Path, case: dict[str, Any], steps: int) -> list[dict[str, Any]]:
    """Tokenizer, random base and rows (conversations, or the same with a better and a worse answer); returns the rows."""
    import bench_training

    from workers.data.records import read_records

    shape = getattr(bench_training, case["shape"])
    bench_training.make_files(folder, {"kind": "sft", "shape": shape, "tokens": 100 * BATCH * (steps + WARM_UP + 8)})
    rows = [record.model_dump(mode="json", exclude_none=True) for record in read_records(folder / "data.jsonl")]
    if case["kind"] == "preference":
        for row in rows:
            question, answer = row["messages"]
            words = answer["content"].split()
            worse = {**answer, "content": " ".join(reversed(words))}
            row.update(messages=[question], chosen=[answer], rejected=[worse])
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def tokens_of(folder: Path, case: dict[str, Any]) -> Callable[[dict[str, Any]], int]:
    from workers.data.templates import load_template

    template = load_template(folder / "base")
    if case["kind"] == "sft":
        return lambda row: len(template.encode(row["messages"]).token_ids)
    return lambda row: sum(len(template.encode(row["messages"] + row[side]).token_ids) for side in ("chosen", "rejected"))


def our_loop(folder: Path, case: dict[str, Any], threads: int, per_step: int) -> Any:
    from workers.program import Program
    from workers.spec.run import RunFile
    from workers.spec.train import PreferenceSpec, SftSpec
    from workers.train.preference import PreferenceJob
    from workers.train.session import Session
    from workers.train.sft import SftJob

    given = {"name": "bench", "base_model": 1, "datasets": [1], "epochs": 1, "held_out_fraction": 0}
    given |= {"method": "lora" if case["lora"] else "full", "optimisation": {"tokens_per_step": per_step, "learning_rate": 1e-3}}
    facts = {"id": 1, "name": "bench"}
    inputs = {
        "dataset": {**facts, "kind": "dataset", "path": str(folder / "data.jsonl"), "sha256": "0", "count": 1},
        "base_model": {**facts, "kind": "model", "path": str(folder / "base")},
    }
    places = {"run_dir": str(folder / "run"), "output_dir": str(folder / "run/out"), "threads": threads}
    program = Program(RunFile.model_validate({"job": 1, "kind": case["kind"], "spec": given, "inputs": inputs, **places}))
    spec_class, job_class = (SftSpec, SftJob) if case["kind"] == "sft" else (PreferenceSpec, PreferenceJob)
    spec: Any = spec_class.model_validate(given)
    job: Any = job_class(Session(program, spec), spec)
    job.prepare()
    job.session.shape(job.network, job.choices, job.longest)
    return job.loop()


def trl_trainer(folder: Path, case: dict[str, Any], rows: list[dict[str, Any]], steps: int, callback: Any) -> Any:
    """TRL's trainer with its own defaults, but for what the comparison fixes: device, batch, rate, and no reports."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    sizes = {"per_device_train_batch_size": BATCH, "max_steps": steps, "learning_rate": 1e-3, "dataloader_drop_last": True}
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1000, "use_cpu": True}
    common: dict[str, Any] = {"output_dir": str(folder / "trl"), **sizes, **quiet}
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, local_files_only=True)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM") if case["lora"] else None
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.chat_template = MARKED
    tools = {"processing_class": tokenizer, "peft_config": lora, "callbacks": [callback]}
    if case["kind"] == "sft":
        data = Dataset.from_list([{"messages": row["messages"]} for row in rows])
        return SFTTrainer(model=model, args=SFTConfig(**common, assistant_only_loss=True), train_dataset=data, **tools)
    data = Dataset.from_list([{"prompt": row["messages"], "chosen": row["chosen"], "rejected": row["rejected"]} for row in rows])
    return DPOTrainer(model=model, args=DPOConfig(**common), train_dataset=data, **tools)


def held_out_loss(core: Any, folder: Path, rows: list[dict[str, Any]]) -> float:
    """Mean loss of the answers' tokens, one conversation at a time, through the model's own forward pass."""
    import torch

    from workers.data.templates import load_template

    template, total, count = load_template(folder / "base"), 0.0, 0
    core.config._attn_implementation = "sdpa"
    core.train(False)
    for row in rows:
        encoded = template.encode(row["messages"] + row.get("chosen", []))
        ids, mask = torch.tensor([encoded.token_ids]), torch.tensor(encoded.train_mask[1:])
        with torch.no_grad():
            logits = core(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits[mask], ids[0, 1:][mask], reduction="sum"))
        count += int(mask.sum())
    return round(total / count, 4)


def race(folder: Path, case: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from transformers import TrainerCallback

    torch.set_num_threads(options.threads)
    rows = prepare(folder, case, options.steps)
    size = tokens_of(folder, case)
    aside, rows = rows[:HELD_OUT], rows[HELD_OUT:]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    loop = our_loop(folder, case, options.threads, BATCH * sum(map(size, rows)) // len(rows))
    ours, theirs = Clock(), Clock()
    mean = sum(map(size, rows)) / len(rows)

    class Turns(TrainerCallback):
        def on_step_begin(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            self.begun = time.perf_counter(), time.process_time()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            middle, before = (time.perf_counter(), time.process_time()), loop.count.tokens
            loop.step()
            theirs.add(middle[0] - self.begun[0], middle[1] - self.begun[1], round(BATCH * mean))
            spent = time.perf_counter() - middle[0], time.process_time() - middle[1]
            ours.add(*spent, loop.count.tokens - before)

    trainer = trl_trainer(folder, case, rows, options.steps + WARM_UP, Turns())
    trainer.train()
    sides = {"ours": ours, "trl": theirs}
    speeds = {name: clock.tokens / clock.seconds for name, clock in sides.items()}
    processor = {name: clock.tokens / clock.processor for name, clock in sides.items()}
    return {
        "tokens_per_second": {name: round(speed, 1) for name, speed in speeds.items()},
        "ratio": round(speeds["ours"] / speeds["trl"], 2),
        "ratio_processor": round(processor["ours"] / processor["trl"], 2),
        "held_out_loss": {
            "ours": held_out_loss(loop.network.core.float(), folder, aside),
            "trl": held_out_loss(trainer.model.float(), folder, aside),
        },
        "precision": loop.network.precision,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=6, help="measured steps of each side")
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(options.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    if options.child:
        name, place = options.child
        print(json.dumps(race(Path(place), CASES[name], options)))
        return
    for name in CASES if options.case is None else [options.case]:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, __file__, "--child", name, place]
            command += ["--threads", str(options.threads), "--steps", str(options.steps)]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps({"case": name, "threads": options.threads, **found}), flush=True)


if __name__ == "__main__":
    main()

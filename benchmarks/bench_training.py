"""Tokens per second of this project's training programs beside a plain transformers Trainer: same model, data, steps, machine.

Prints one JSON line per runner and case, then one line with the ratios. Runs are taken in turn, `--rounds` times; the best
of each counts, because other work on the machine only ever slows a run down. `python benchmarks/bench_training.py --quick`.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
SMALL = {"hidden_size": 320, "layers": 7, "heads": 5, "intermediate_size": 864, "context_length": 1024}
MEDIUM = {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 2048, "context_length": 1024}
CASES: dict[str, dict[str, Any]] = {
    "pretrain-10M": {"kind": "pretrain", "shape": SMALL, "tokens": 40_000, "lora": False},
    "sft-full-10M": {"kind": "sft", "shape": SMALL, "tokens": 40_000, "lora": False},
    "sft-lora-90M": {"kind": "sft", "shape": MEDIUM, "tokens": 12_000, "lora": True},
}
BATCH = 8
BLOCK = 512


def words(dice: random.Random, count: int) -> str:
    syllables = ("ka", "lo", "mi", "ter", "sun", "ve", "ra", "don", "qui", "sel")
    return " ".join("".join(dice.choices(syllables, k=dice.randint(1, 3))) for _ in range(count))


def make_files(folder: Path, case: dict[str, Any]) -> int:
    """Tokenizer, random base model and data; returns the tokens of a batch as the other side makes them.

    Lengths are spread like those of chat data: many short, a few long.
    """
    import torch

    from workers.data.templates import load_template
    from workers.spec.train import Architecture
    from workers.train import models
    from workers.train.tokenizer import learn, write_folder

    dice = random.Random(0)
    lengths = [min(180, max(8, int(dice.lognormvariate(3.3, 0.8)))) for _ in range(case["tokens"] // 60)]
    texts = [words(dice, length) for length in lengths]
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "base").mkdir()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    write_folder(folder / "tokenizer", learn(texts, vocabulary=4096, split_digits=True, special_tokens=specials))
    template = load_template(folder / "tokenizer")
    model = models.new_llama(Architecture(**case["shape"]), template, 0)
    model.resize_token_embeddings(4096)
    models.save_model(model, folder / "base", source=folder / "tokenizer", template=template, dtype=torch.float32)
    rows = []
    for number, text in enumerate(texts):
        if case["kind"] == "pretrain":
            rows.append({"id": str(number), "text": text})
        else:
            asked, answered = text[: len(text) // 3], text[len(text) // 3 :]
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            rows.append({"id": str(number), "messages": turns})
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if case["kind"] == "pretrain":
        return BATCH * BLOCK
    return BATCH * sum(len(template.encode(row["messages"]).token_ids) for row in rows) // len(rows)


def run_ours(folder: Path, case: dict[str, Any], threads: int, batch_tokens: int) -> dict[str, Any]:
    data, run_dir = folder / "data.jsonl", Path(tempfile.mkdtemp(dir=folder))
    spec: dict[str, Any] = {"name": "bench", "datasets": [1], "base_model": 1, "epochs": 1, "held_out_fraction": 0}
    spec |= {"optimisation": {"tokens_per_step": batch_tokens, "learning_rate": 1e-3}}
    spec |= {"sequence_length": BLOCK} if case["kind"] == "pretrain" else {"method": "lora" if case["lora"] else "full"}
    facts = {"id": 1, "name": "bench"}
    run = {
        "job": 1,
        "kind": case["kind"],
        "spec": spec,
        "inputs": {
            "dataset": facts
            | {"kind": "dataset", "path": str(data), "sha256": hashlib.sha256(data.read_bytes()).hexdigest(), "count": 1},
            "base_model": facts | {"kind": "model", "path": str(folder / "base")},
        },
        "run_dir": str(run_dir),
        "output_dir": str(run_dir / "out"),
        "threads": threads,
    }
    (run_dir / "run.json").write_text(json.dumps(run), encoding="utf-8")
    began = time.time()
    subprocess.run([sys.executable, "-m", "workers.train", str(run_dir / "run.json")], cwd=ROOT, check=True)
    result = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    first = next(event["t"] for event in events if event["type"] == "metric" and "loss" in event["values"])
    return {
        "tokens": result["tokens"],
        "tokens_per_second": result["tokens_per_second"],
        "loss": result["final_loss"],
        "first_loss_after_seconds": round(first - began, 2),
        "precision": result["resolved"]["precision"],
    }


def run_trainer(folder: Path, case: dict[str, Any], bf16: bool) -> dict[str, Any]:
    """The loop of transformers' own examples: padded batches for answers, blocks of a running text for pre-training."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    from workers.data.records import read_records
    from workers.data.templates import load_template

    template = load_template(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, local_files_only=True)
    if case["lora"]:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    rows = []
    records = list(read_records(folder / "data.jsonl"))
    if case["kind"] == "pretrain":
        stream = [token for record in records for token in [*template.encode_text(record.text or ""), 0]]
        blocks = [stream[start : start + BLOCK] for start in range(0, len(stream) - BLOCK, BLOCK)]
        rows = [(block, block) for block in blocks]
    else:
        for record in records:
            encoded = template.encode(record.messages or [])
            pairs = zip(encoded.token_ids, encoded.train_mask, strict=True)
            rows.append((encoded.token_ids, [token if learnt else -100 for token, learnt in pairs]))

    def collate(items: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in items)
        return {
            "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in items]),
            "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in items]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in items]),
        }

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(dir=folder),
        use_cpu=True,
        bf16=bf16,
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=1e-3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=1000,
        remove_unused_columns=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)  # type: ignore[arg-type]
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    tokens = sum(len(ids) for ids, _ in rows)
    return {"tokens": tokens, "tokens_per_second": round(tokens / seconds, 1)}


def one_trainer_process(folder: Path, name: str, runner: str) -> dict[str, Any]:
    """Each runner gets a fresh process, as in real use."""
    command = [sys.executable, __file__, "--child", name, runner, str(folder)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a quarter of the tokens, one round, small model only")
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, runner, folder = options.child
        print(json.dumps(run_trainer(Path(folder), CASES[name], bf16=runner == "trainer-bf16")))
        return
    os.environ.update(OMP_NUM_THREADS=str(options.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    for name, case in CASES.items():
        if (options.case and name != options.case) or (options.quick and case["lora"]):
            continue
        compare(name, case | ({"tokens": case["tokens"] // 4} if options.quick else {}), options)


def compare(name: str, case: dict[str, Any], options: argparse.Namespace) -> None:
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        batch_tokens = make_files(folder, case)
        for _ in range(1 if options.quick else options.rounds):
            for runner in ("ours", "trainer-f32", "trainer-bf16"):
                ours = runner == "ours"
                found = (
                    run_ours(folder, case, options.threads, batch_tokens) if ours else one_trainer_process(folder, name, runner)
                )
                print(json.dumps({"case": name, "runner": runner, "threads": options.threads, **found}), flush=True)
                best[runner] = max(best.get(runner, 0), found["tokens_per_second"])
    ratios = {f"ours/{runner}": round(best["ours"] / speed, 2) for runner, speed in best.items() if runner != "ours"}
    print(json.dumps({"case": name, "best_tokens_per_second": best, **ratios}), flush=True)


if __name__ == "__main__":
    main()

"""Tokens per second of this project's training loop beside a plain transformers Trainer: same model, data and machine.

Each side is a process of its own, and they take turns step by step, so that other work on the machine meets all alike. The
Trainer does what transformers' own examples do: padded batches for answers, blocks of a running text for pre-training; once
in f32 (its default) and once with bf16. Pre-training has two cases: documents of many lengths, mostly short, and documents
that fill whole rows. Prints one JSON line per case. `python -m benchmarks.bench_training --steps 4` is quick.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
if TYPE_CHECKING:
    import torch

    from benchmarks.peers.turns import Turns
    from workers.train.loop import Loop

SMALL = {"hidden_size": 320, "layers": 7, "heads": 5, "intermediate_size": 864, "context_length": 1024}
MEDIUM = {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 2048, "context_length": 1024}
CASES: dict[str, dict[str, Any]] = {
    "pretrain-10M-short": {"kind": "pretrain", "shape": SMALL, "lora": False},
    "pretrain-10M-full-rows": {"kind": "pretrain", "shape": SMALL, "lora": False, "long": True},
    "sft-full-10M": {"kind": "sft", "shape": SMALL, "lora": False},
    "sft-lora-90M": {"kind": "sft", "shape": MEDIUM, "lora": True},
    "sft-lora-110M": {"kind": "sft", "shape": MEDIUM, "lora": True, "vocabulary": 32_000},
}
SIDES = ("ours", "f32", "bf16")
BATCH = 8
BLOCK = 512
WARM_UP = 2
"""Steps of each side before the clock runs."""


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
    if case.get("long"):
        lengths = [4000] * (case["tokens"] // 8000)  # cut to rows, of which next to none is a rest
    else:
        lengths = [min(180, max(8, int(dice.lognormvariate(3.3, 0.8)))) for _ in range(case["tokens"] // 60)]
    texts = [words(dice, length) for length in lengths]
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "base").mkdir()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    write_folder(folder / "tokenizer", learn(texts, vocabulary=4096, split_digits=True, special_tokens=specials))
    template = load_template(folder / "tokenizer")
    model = models.new_llama(Architecture(**case["shape"]), template, 0)
    model.resize_token_embeddings(case.get("vocabulary", 4096), mean_resizing=False)
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


def our_loop(folder: Path, case: dict[str, Any], threads: int, batch_tokens: int) -> "Loop":
    """The loop of the real program, ready to step."""
    from workers.program import Program
    from workers.spec.run import RunFile
    from workers.spec.train import PretrainSpec, SftSpec
    from workers.train.machine import set_manners

    spec: dict[str, Any] = {"name": "bench", "datasets": [1], "base_model": 1, "epochs": 1, "held_out_fraction": 0}
    spec |= {"optimisation": {"tokens_per_step": batch_tokens, "learning_rate": 1e-3}}
    facts = {"id": 1, "name": "bench"}
    inputs = {
        "dataset": {**facts, "kind": "dataset", "path": str(folder / "data.jsonl"), "sha256": "0", "count": 1},
        "base_model": {**facts, "kind": "model", "path": str(folder / "base")},
    }
    places = {"run_dir": str(folder / "run"), "output_dir": str(folder / "run/out"), "threads": threads}
    run = RunFile.model_validate({"job": 1, "kind": case["kind"], "spec": spec, "inputs": inputs, **places})
    set_manners(run)  # before torch is imported
    from workers.train.pretrain import PretrainJob
    from workers.train.session import Session
    from workers.train.sft import SftJob

    program = Program(run)
    job: PretrainJob | SftJob
    if case["kind"] == "pretrain":
        settings = PretrainSpec.model_validate({**spec, "sequence_length": BLOCK})
        job = PretrainJob(Session(program, settings), settings)
    else:
        chosen = SftSpec.model_validate({**spec, "method": "lora" if case["lora"] else "full"})
        job = SftJob(Session(program, chosen), chosen)
    job.prepare()
    job.session.shape(job.network, job.choices, job.longest)
    return job.loop()


def trainer_rows(folder: Path, case: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """(tokens, labels): blocks of a running text for pre-training, one conversation a row for answers."""
    from workers.data.records import read_records
    from workers.data.templates import load_template

    template = load_template(folder / "base")
    records = list(read_records(folder / "data.jsonl"))
    if case["kind"] == "pretrain":
        stream = [token for record in records for token in [*template.encode_text(record.text or ""), 0]]
        blocks = [stream[start : start + BLOCK] for start in range(0, len(stream) - BLOCK, BLOCK)]
        return [(block, block) for block in blocks]
    rows = []
    for record in records:
        encoded = template.encode(record.messages or [])
        pairs = zip(encoded.token_ids, encoded.train_mask, strict=True)
        rows.append((encoded.token_ids, [token if learnt else -100 for token, learnt in pairs]))
    return rows


def collate(items: list[tuple[list[int], list[int]]]) -> "dict[str, torch.Tensor]":
    import torch

    longest = max(len(ids) for ids, _ in items)
    return {
        "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in items]),
        "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in items]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in items]),
    }


def trainer_model(folder: Path, case: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, local_files_only=True)
    if case["lora"]:
        from peft import LoraConfig, get_peft_model

        return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    return model


def run_ours(turns: "Turns", folder: Path, case: dict[str, Any], options: argparse.Namespace) -> None:
    loop = our_loop(folder, case, options.threads, case["batch_tokens"])
    for _ in range(options.steps + WARM_UP):
        before = loop.count.tokens
        turns.wait()
        loop.step()
        turns.done(tokens=loop.count.tokens - before, loss=loop.count.final_loss, precision=loop.network.precision)


def run_trainer(turns: "Turns", folder: Path, case: dict[str, Any], options: argparse.Namespace, *, bf16: bool) -> None:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    torch.set_num_threads(options.threads)
    rows = trainer_rows(folder, case)

    class InTurns(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            turns.wait()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            chosen = rows[BATCH * (state.global_step - 1) : BATCH * state.global_step]
            turns.done(tokens=sum(len(ids) for ids, _ in chosen))
            if state.global_step < arguments.max_steps:
                turns.wait()

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        use_cpu=True,
        bf16=bf16,
        per_device_train_batch_size=BATCH,
        max_steps=options.steps + WARM_UP,
        learning_rate=1e-3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=1000,
        remove_unused_columns=False,
    )
    model = trainer_model(folder, case)
    InOrder(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[InTurns()]).train()


def race(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A step of ours, one of the Trainer in f32, one in bf16, and so on: what else the machine does meets all alike."""
    command = [sys.executable, __file__, "--threads", str(options.threads), "--steps", str(options.steps), "--child", name]
    pipes = {"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sides: dict[str, Any] = {side: subprocess.Popen([*command, side, str(folder)], **pipes) for side in SIDES}
    spent = {side: {"seconds": 0.0, "processor": 0.0, "tokens": 0} for side in SIDES}
    try:
        for step in range(options.steps + WARM_UP):
            for side, program in sides.items():
                program.stdin.write("go\n")
                program.stdin.flush()
                told = json.loads(program.stdout.readline())
                if step >= WARM_UP:
                    spent[side] = {key: spent[side][key] + told[key] for key in spent[side]}
    finally:
        for program in sides.values():
            program.stdin.close()
            program.wait()
    result: dict[str, Any] = {"tokens": {side: spent[side]["tokens"] for side in SIDES}}
    for clock in ("seconds", "processor"):
        speeds = {side: spent[side]["tokens"] / spent[side][clock] for side in SIDES}
        result[f"tokens_per_{clock}"] = {side: round(speed, 1) for side, speed in speeds.items()}
        result[f"ratio_{clock}"] = {side: round(speeds["ours"] / speeds[side], 2) for side in SIDES[1:]}
    return result


def child(name: str, side: str, folder: Path, options: argparse.Namespace) -> None:
    from benchmarks.peers.turns import Turns

    case = CASES[name] | {"batch_tokens": int((folder / "batch_tokens").read_text())}
    turns = Turns()
    if side == "ours":
        run_ours(turns, folder, case, options)
    else:
        run_trainer(turns, folder, case, options, bf16=side == "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=12, help="measured steps of each side")
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1")
    if options.child:
        name, side, place = options.child
        child(name, side, Path(place), options)
        return
    for name in CASES if options.case is None else [options.case]:
        case = CASES[name] | {"tokens": 100 * BATCH * (options.steps + WARM_UP + 8)}
        if case["kind"] == "pretrain":
            case["tokens"] = BATCH * BLOCK * (options.steps + WARM_UP + 8)
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "batch_tokens").write_text(str(make_files(Path(place), case)))
            found = race(name, Path(place), options)
        print(json.dumps({"case": name, "threads": options.threads, **found}), flush=True)


if __name__ == "__main__":
    main()

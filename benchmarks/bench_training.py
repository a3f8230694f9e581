"""Tokens per second of this project's training loop beside a plain transformers Trainer: same model, data and machine.

Both run in one process and take turns step by step, so that other work on the machine meets both alike. The Trainer does
what transformers' own examples do: padded batches for answers, blocks of a running text for pre-training; once in f32 (its
default) and once with bf16. Prints one JSON line per case. `python benchmarks/bench_training.py --steps 4` is quick.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
if TYPE_CHECKING:
    import torch

    from workers.train.loop import Loop

SMALL = {"hidden_size": 320, "layers": 7, "heads": 5, "intermediate_size": 864, "context_length": 1024}
MEDIUM = {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 2048, "context_length": 1024}
CASES: dict[str, dict[str, Any]] = {
    "pretrain-10M": {"kind": "pretrain", "shape": SMALL, "lora": False},
    "sft-full-10M": {"kind": "sft", "shape": SMALL, "lora": False},
    "sft-lora-90M": {"kind": "sft", "shape": MEDIUM, "lora": True},
}
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


def our_loop(folder: Path, case: dict[str, Any], threads: int, batch_tokens: int) -> "Loop":
    """The loop of the real program, ready to step."""
    from workers.program import Program
    from workers.spec.run import RunFile
    from workers.spec.train import PretrainSpec, SftSpec
    from workers.train.pretrain import PretrainJob
    from workers.train.session import Session
    from workers.train.sft import SftJob

    spec: dict[str, Any] = {"name": "bench", "datasets": [1], "base_model": 1, "epochs": 1, "held_out_fraction": 0}
    spec |= {"optimisation": {"tokens_per_step": batch_tokens, "learning_rate": 1e-3}}
    facts = {"id": 1, "name": "bench"}
    inputs = {
        "dataset": {**facts, "kind": "dataset", "path": str(folder / "data.jsonl"), "sha256": "0", "count": 1},
        "base_model": {**facts, "kind": "model", "path": str(folder / "base")},
    }
    places = {"run_dir": str(folder / "run"), "output_dir": str(folder / "run/out"), "threads": threads}
    run = RunFile.model_validate({"job": 1, "kind": case["kind"], "spec": spec, "inputs": inputs, **places})
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


def race(folder: Path, case: dict[str, Any], options: argparse.Namespace, *, bf16: bool, batch_tokens: int) -> dict[str, Any]:
    """One step of the Trainer, one of ours, and so on: what else the machine does meets both alike."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    torch.set_num_threads(options.threads)
    loop = our_loop(folder, case, options.threads, batch_tokens)
    rows = trainer_rows(folder, case)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    spent = {side: dict.fromkeys(clocks, 0.0) for side in ("ours", "trainer")}
    tokens = {"ours": 0, "trainer": 0}

    class Turns(TrainerCallback):
        def on_step_begin(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            self.begun = {name: clock() for name, clock in clocks.items()}

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            middle = {name: clock() for name, clock in clocks.items()}
            before = loop.count.tokens
            loop.step()
            after = {name: clock() for name, clock in clocks.items()}
            if state.global_step <= WARM_UP:
                return
            for name in clocks:
                spent["trainer"][name] += middle[name] - self.begun[name]
                spent["ours"][name] += after[name] - middle[name]
            chosen = rows[BATCH * (state.global_step - 1) : BATCH * state.global_step]
            tokens["trainer"] += sum(len(ids) for ids, _ in chosen)
            tokens["ours"] += loop.count.tokens - before

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        use_cpu=True,
        bf16=bf16,
        per_device_train_batch_size=BATCH,
        max_steps=min(options.steps + WARM_UP, len(rows) // BATCH, loop.recipe.total_steps),
        learning_rate=1e-3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=1000,
        remove_unused_columns=False,
    )
    model = trainer_model(folder, case)
    InOrder(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Turns()]).train()
    speeds = {side: {name: tokens[side] / spent[side][name] for name in clocks} for side in spent}
    return {
        "precision": loop.network.precision,
        "tokens": tokens,
        "tokens_per_second": {side: round(speeds[side]["wall"], 1) for side in speeds},
        "tokens_per_processor_second": {side: round(speeds[side]["processor"], 1) for side in speeds},
        "ratio": round(speeds["ours"]["wall"] / speeds["trainer"]["wall"], 2),
        "ratio_processor": round(speeds["ours"]["processor"] / speeds["trainer"]["processor"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=12, help="measured steps of each side")
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(options.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    if options.child:
        name, kind, place = options.child
        case = CASES[name] | {"tokens": 100 * BATCH * (options.steps + WARM_UP + 8)}
        if case["kind"] == "pretrain":
            case["tokens"] = BATCH * BLOCK * (options.steps + WARM_UP + 8)
        batch_tokens = make_files(Path(place), case)
        print(json.dumps(race(Path(place), case, options, bf16=kind == "bf16", batch_tokens=batch_tokens)))
        return
    for name in CASES if options.case is None else [options.case]:
        for kind in ("f32", "bf16"):
            with tempfile.TemporaryDirectory() as place:
                command = [sys.executable, __file__, "--child", name, kind, place]
                command += ["--threads", str(options.threads), "--steps", str(options.steps)]
                done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(json.dumps({"case": name, "trainer": kind, "threads": options.threads, **found}), flush=True)


if __name__ == "__main__":
    main()

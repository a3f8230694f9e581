"""Makes the starter again through the product's own programs: `python -m workers.starter.build OUT [--size NAME] [--seed N]`.

OUT gets `base/` and `tuned/`: Hugging Face folders with float16 weights and a card. Progress goes to stdout.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from workers.data.records import write_records
from workers.spec.evaluate import EvalSpec, Metric, SuiteConfig
from workers.spec.record import Record
from workers.spec.train import Optimisation, Parallel, PretrainSpec, Saving, SftSpec, TokenizerSpec
from workers.starter import data
from workers.starter.corpus import corpus_records, exercise_records, tokenizer_text
from workers.starter.dialogues import shop_pairs, shop_record, tool_pairs, tool_record
from workers.starter.programs import dataset_input, model_input, run_program, train
from workers.starter.recipe import SIZES, STARTER, Recipe

GENERATION = {"temperature": 0.0}
"""The starter is small: its likeliest answer is mostly right, a drawn one often is not."""
RARELY = Saving(every_seconds=3600, evaluate_every_steps=1_000_000)
"""No checkpoints, and a look at the held-out loss before and after only: the jobs are short."""
KEPT = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


class Maker:
    """The jobs of the recipe, each in its own folder below `work`; `log` keeps what each said."""

    def __init__(self, recipe: Recipe, work: Path, threads: int) -> None:
        self.recipe, self.work, self.threads = recipe, work, threads
        self.parallel = Parallel(processes=recipe.processes)
        self.began = time.monotonic()
        self.jobs: list[dict[str, Any]] = []
        self.hashes: dict[str, str] = {}
        self.exams: dict[str, tuple[str, Metric, Path]] = {}

    def write(self, name: str, records: Iterable[Record]) -> Path:
        path = self.work / f"{name}.jsonl"
        self.hashes[name], count = write_records(path, records)
        self.say(f"{name}: {count} records")
        return path

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.0f} s] {text}", flush=True)

    def job(self, name: str, kind: str, spec: Any, **inputs: Path) -> Path:
        """Run one program; inputs called `dataset` are data files, the others are model folders."""
        given = {role: dataset_input(path) if role == "dataset" else model_input(path) for role, path in inputs.items()}
        finished = train(kind, spec, given, self.work / name, self.threads)
        told = {
            key: finished.result[key]
            for key in ("tokens", "final_loss", "held_out_loss", "seconds", "vocabulary")
            if key in finished.result
        }
        self.jobs.append({"name": name, "kind": kind, "spec": spec.model_dump(mode="json", exclude_defaults=True), **told})
        self.say(f"{name}: {told}")
        return finished.folder

    def optimisation(self, rate: float, schedule: Literal["cosine", "constant"] = "cosine") -> Optimisation:
        return Optimisation(
            learning_rate=rate,
            schedule=schedule,
            tokens_per_step=self.recipe.tokens_per_step,
            precision="bfloat16" if multiplies_matrices() else "auto",
        )

    def make_base(self) -> Path:
        recipe, seed = self.recipe, self.recipe.seed
        corpus = self.write("corpus", corpus_records(recipe.corpus_records, seed=seed, world=recipe.taught))
        exercises = self.write("exercises", exercise_records(recipe.exercises, seed=seed, world=recipe.taught))
        texts = (
            Record(id=record.id, text=tokenizer_text(record))
            for record in corpus_records(recipe.tokenizer_records, seed=seed, world=recipe.taught)
        )
        tokenizer = self.job(
            "tokenizer",
            "tokenizer",
            TokenizerSpec(name="starter tokenizer", datasets=[0], vocabulary=recipe.vocabulary, seed=seed),
            dataset=self.write("tokenizer-text", texts),
        )
        first = PretrainSpec(
            name="starter, first words",
            datasets=[0],
            architecture=recipe.architecture,
            sequence_length=256,
            token_budget=recipe.first_tokens,
            optimisation=self.optimisation(recipe.rate, "constant"),
            parallel=self.parallel,
            saving=RARELY,
            seed=seed,
        )
        words = self.job("first-words", "pretrain", first, dataset=corpus, tokenizer=tokenizer)
        school = SftSpec(
            name="starter, copying",
            base_model=0,
            datasets=[0],
            method="full",
            epochs=recipe.exercise_epochs,
            held_out_fraction=0.01,
            optimisation=self.optimisation(recipe.rate, "constant"),
            parallel=self.parallel,
            saving=RARELY,
            seed=seed,
        )
        copier = self.job("copying", "sft", school, dataset=exercises, base_model=words)
        proper = first.model_copy(
            update={
                "name": "starter, base",
                "architecture": None,
                "base_model": 0,
                "token_budget": recipe.pretrain_tokens,
                "optimisation": self.optimisation(recipe.rate),
            }
        )
        return self.job("base", "pretrain", proper, dataset=corpus, base_model=copier)

    def make_tuned(self, base: Path) -> Path:
        recipe = self.recipe
        spec = SftSpec(
            name="starter, customer service",
            base_model=0,
            datasets=[0],
            method="full",
            epochs=recipe.sft_epochs,
            held_out_fraction=0.01,
            optimisation=self.optimisation(recipe.sft_rate),
            parallel=self.parallel,
            saving=RARELY,
            seed=recipe.seed,
        )
        mix = data.sft_mix(recipe)
        return self.job("tuned", "sft", spec, dataset=self.write("sft-mix", mix), base_model=base)

    def write_exams(self) -> None:
        """Combinations that are held out, more of them than the demo's 60."""
        count, seed, world = self.recipe.examined, self.recipe.seed + 1, self.recipe.world
        shop = shop_pairs(count, seed=seed, held_out=True, dressed=True, world=world)
        tools = tool_pairs(count // 2, seed=seed, held_out=True, dressed=True, world=world)
        self.exams = {
            "customer_service": (
                "shop",
                "exact",
                self.write("held-out-shop", (shop_record(f"shop-{i}", p) for i, p in enumerate(shop))),
            ),
            "tool_calls": (
                "tools",
                "tool_call",
                self.write("held-out-tools", (tool_record(f"tools-{i}", p) for i, p in enumerate(tools))),
            ),
        }

    def scores(self, name: str, folder: Path) -> dict[str, Any]:
        """What the product's evaluation says of a model: both exams side by side, each on one core."""
        with ThreadPoolExecutor(max_workers=len(self.exams)) as pool:
            begun = {
                key: pool.submit(self._examine, f"{name}-{short}", folder, path, metric)
                for key, (short, metric, path) in self.exams.items()
            }
            return {key: future.result() for key, future in begun.items()}

    def _examine(self, name: str, folder: Path, records: Path, metric: Metric) -> dict[str, Any]:
        work = self.work / f"examination-{name}"
        # Answers are named by the model's path: those of an earlier making must not be taken for this one's.
        shutil.rmtree(work, ignore_errors=True)
        config = SuiteConfig(method="generation", metric=metric, max_new_tokens=64)
        result = run_program(
            "evaluate",
            kind="evaluate",
            spec=EvalSpec(suite=0, evaluation=0, model=0, dataset=0, config=config),
            inputs={"dataset": dataset_input(records), "model": model_input(folder)},
            work=work,
            threads=1,
        )
        self.say(f"{name}: {result['correct']}/{result['n']} right")
        by_label = {label: [found["correct"], found["n"]] for label, found in result["by_label"].items()}
        return {key: result[key] for key in ("metric", "score", "correct", "n", "interval")} | {"by_label": by_label}


def multiplies_matrices() -> bool:
    """Whether the processor has units for products of bf16 matrices (AMX). With them training is a sixth faster than in f32
    even at this width and learns as well; without them it is slower."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def to_half(folder: Path) -> None:
    """Store the weights of a model folder as float16."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file({name: item.to(torch.float16) for name, item in load_file(path).items()}, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def build(out: Path, recipe: Recipe = STARTER, threads: int = 1) -> dict[str, dict[str, Any]]:
    """Make both models below `out`; returns their cards by name."""
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    maker = Maker(recipe, work, threads)
    base = maker.make_base()
    to_half(base)
    maker.write_exams()
    # The base is examined while its successor learns: on two cores that costs no time.
    with ThreadPoolExecutor(max_workers=1) as pool:
        scores_of_base = pool.submit(maker.scores, "base", base)
        tuned = maker.make_tuned(base)
        to_half(tuned)
        scores = {"base": scores_of_base.result(), "tuned": maker.scores("tuned", tuned)}
    cards = {name: publish(maker, folder, out / name, scores[name]) for name, folder in (("base", base), ("tuned", tuned))}
    maker.say("done")
    return cards


def publish(maker: Maker, folder: Path, target: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """Copy what a Hugging Face folder needs and write its card."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.name in KEPT or file.name.startswith("chat_template"):
            shutil.copyfile(file, target / file.name)
    weights = hashlib.sha256((target / "model.safetensors").read_bytes()).hexdigest()
    numbers = asdict(maker.recipe)
    world, taught = numbers.pop("world"), numbers.pop("taught")
    numbers["architecture"] = maker.recipe.architecture.model_dump()
    jobs = [job for job in maker.jobs if target.name == "tuned" or job["name"] != "tuned"]
    card = {
        "name": f"shuyuan-starter-{target.name}",
        "licence": "CC0-1.0",
        "languages": ["zh", "en"],
        "recipe": numbers,
        "generation": GENERATION,
        "world": {key: len(items) for key, items in world.items()},
        "taught": {key: len(items) for key, items in taught.items()},
        "jobs": jobs,
        "data_sha256": maker.hashes,
        "weights_sha256": weights,
        "held_out": scores,
        "seconds": round(sum(job["seconds"] for job in jobs)),
    }
    (target / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.starter.build", description="Make the starter models.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=STARTER.seed)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    cards = build(given.out.resolve(), SIZES[given.size].with_seed(given.seed), given.threads)
    print(json.dumps({name: card["held_out"] for name, card in cards.items()}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

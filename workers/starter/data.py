"""Write the demo data as canonical JSONL: `python -m workers.starter.data OUTDIR`."""

import random
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from workers.data.records import write_records
from workers.spec.record import Message, Record
from workers.starter import recipe
from workers.starter.corpus import corpus_records
from workers.starter.dialogues import Pair, choice_record, facets, shop_pairs, shop_record, talk, tool_pairs, tool_record
from workers.starter.everyday import REWORDED, everyday_pairs, typed
from workers.starter.more_intents import ENGRAVING
from workers.starter.new_policies import NEW_POLICIES
from workers.starter.recipe import STARTER, Recipe
from workers.starter.shop import TAUGHT


def shop_train() -> list[Record]:
    """The labelled demo dataset."""
    pairs = shop_pairs(recipe.DEMO_TRAIN, seed=recipe.SEED, held_out=False)
    return [shop_record(f"shop-{index:04d}", pair) for index, pair in enumerate(pairs)]


def shop_held_out() -> list[Record]:
    """What the fine-tuned model is examined on: entity combinations that no training data of ours contains."""
    pairs = shop_pairs(recipe.DEMO_HELD_OUT, seed=recipe.SEED, held_out=True)
    return [shop_record(f"shop-held-out-{index:04d}", pair) for index, pair in enumerate(pairs)]


def tools_train() -> list[Record]:
    pairs = tool_pairs(recipe.DEMO_TOOLS_TRAIN, seed=recipe.SEED, held_out=False)
    return [tool_record(f"tools-{index:04d}", pair) for index, pair in enumerate(pairs)]


def tools_held_out() -> list[Record]:
    pairs = tool_pairs(recipe.DEMO_TOOLS_HELD_OUT, seed=recipe.SEED, held_out=True, dressed=True)
    return [tool_record(f"tools-held-out-{index:04d}", pair) for index, pair in enumerate(pairs)]


def shop_choices() -> list[Record]:
    """Multiple choice on questions that are held out too, other ones than `shop_held_out`."""
    rng = random.Random(f"choices-{recipe.SEED}")
    known = {pair.core for pair in shop_pairs(recipe.DEMO_HELD_OUT, seed=recipe.SEED, held_out=True)}
    pairs = shop_pairs(3 * recipe.DEMO_CHOICES, seed=recipe.SEED + 1, held_out=True)
    chosen = [pair for pair in pairs if pair.core not in known][: recipe.DEMO_CHOICES]
    return [choice_record(f"choice-{index:04d}", pair, rng) for index, pair in enumerate(chosen)]


def unlabelled() -> list[Record]:
    """New customer questions without answers; the last four ask for engraving, which the starter has not learnt."""
    known = {pair.core for pair in shop_pairs(recipe.DEMO_TRAIN, seed=recipe.SEED, held_out=False)}
    pairs = [pair for pair in shop_pairs(200, seed=recipe.SEED + 2, held_out=False) if pair.core not in known]
    pairs = pairs[: recipe.DEMO_UNLABELLED - 4] + shop_pairs(4, seed=recipe.SEED, held_out=False, intents=(ENGRAVING,))
    return [
        Record(
            id=f"new-{index:04d}",
            messages=[Message(role="user", content=pair.question)],
            facets=facets("customer-service", pair.language),
        )
        for index, pair in enumerate(pairs)
    ]


def new_policies() -> list[Record]:
    """Rules that the shipped tuned model does not know, and some pairs of `shop_train`, so that it forgets little: an adapter
    (LoRA) learns them in a minute."""
    pairs = shop_pairs(recipe.DEMO_NEW_POLICIES, seed=recipe.SEED, held_out=False, intents=NEW_POLICIES)
    rng = random.Random(f"new-policies-{recipe.SEED}")
    records = [shop_record(f"new-policy-{index:04d}", pair) for index, pair in enumerate(pairs)]
    records += rng.sample(shop_train(), recipe.DEMO_REFRESHER)
    rng.shuffle(records)
    return records


def new_policies_held_out() -> list[Record]:
    """Questions about the new rules with things, days and cities that `new_policies` does not ask about in this way."""
    pairs = shop_pairs(recipe.DEMO_NEW_POLICIES_HELD_OUT, seed=recipe.SEED, held_out=True, intents=NEW_POLICIES)
    return [shop_record(f"new-policy-held-out-{index:04d}", pair) for index, pair in enumerate(pairs)]


def sft_mix(recipe: Recipe = STARTER) -> list[Record]:
    """What the shipped tuned model learns: the shop in bulk as visitors type it, and tool calls, shuffled. Some conversations go
    on; tools, whose long descriptions cost more than the calls, are asked for several times in each."""
    seed, world, rng = recipe.seed, recipe.taught, random.Random(f"mix-{recipe.seed}")
    shop = shop_pairs(recipe.sft_shop, seed=seed + 10, held_out=False, dressed=True, world=world)
    shop += shop_pairs(recipe.sft_reworded, seed=seed + 11, held_out=False, dressed=True, world=world, intents=REWORDED)
    shop += everyday_pairs(recipe.sft_facts, recipe.sft_general, seed=seed + 10, world=world)
    tools = tool_pairs(recipe.sft_tools, seed=seed + 10, held_out=False, dressed=True, world=world)
    rng.shuffle(shop)
    records = _talks([shop_record(f"sft-shop-{i:05d}", as_typed(pair, rng)) for i, pair in enumerate(shop)], (14, 2, 1), rng)
    records += _talks([tool_record(f"sft-tools-{i:05d}", as_typed(pair, rng)) for i, pair in enumerate(tools)], (1, 0, 1, 2), rng)
    rng.shuffle(records)
    return records


def as_typed(pair: Pair, rng: random.Random) -> Pair:
    return replace(pair, question=typed(pair.question, pair.language, rng))


def _talks(records: list[Record], weights: tuple[int, ...], rng: random.Random) -> list[Record]:
    """The records in conversations of one, two, … questions, which are as frequent as the weights say."""
    talks, rest = [], iter(records)
    for first in rest:
        length = rng.choices(range(len(weights)), weights)[0]
        talks.append(talk(first, list(islice(rest, length))))
    return talks


def corpus() -> Iterable[Record]:
    return corpus_records(recipe.CORPUS_RECORDS, seed=recipe.SEED, world=TAUGHT)


FILES = {
    "shop_train": shop_train,
    "shop_held_out": shop_held_out,
    "tools_train": tools_train,
    "tools_held_out": tools_held_out,
    "shop_choices": shop_choices,
    "new_policies": new_policies,
    "new_policies_held_out": new_policies_held_out,
    "unlabelled": unlabelled,
    "corpus": corpus,
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("Usage: python -m workers.starter.data OUTDIR", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        digest, count = write_records(folder / f"{name}.jsonl", make())
        print(f"{name}.jsonl: {count} records, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

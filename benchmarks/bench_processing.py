"""De-duplication of 100,000 records with planted near duplicates: seconds, recall and precision; then the whole pipeline.

Half of the originals are English-like (words drawn by Zipf's law), half Chinese (characters likewise), 20 to 300 tokens long.
Of every tenth a copy follows with 1 to 5 % of its tokens replaced, dropped or doubled; of every fortieth an exact one. A copy
counts as a near duplicate when the Jaccard similarity of its 5-grams, counted exactly, reaches the threshold of 0.8.
Goal: at most 60 s on 2 cores. Prints JSON lines. `--records N` for another size.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from workers.data.processing.assembly import assemble
from workers.data.processing.batches import read_lines
from workers.data.processing.deduplication import Deduplication, similarity
from workers.data.processing.pipeline import Pipeline, Watcher
from workers.data.records import record_line
from workers.spec.processing import DeduplicationStage, Stages

THRESHOLD = 0.8
GOAL_SECONDS = 60
SILENT = Watcher(stage=lambda _name: None, progress=lambda _share: None, check=lambda: None)


def originals(count: int, chance: np.random.Generator) -> list[tuple[list[str], str]]:
    """(tokens, glue) of each original."""
    words = ["".join(letters) for letters in islice(product("etaoinshr", repeat=5), 30_000)]
    han = [chr(0x4E00 + number) for number in range(5_000)]
    made = []
    for number in range(count):
        vocabulary, glue = (words, " ") if number % 2 else (han, "")
        ranks = chance.zipf(1.15, size=int(chance.integers(20, 300))) % len(vocabulary)
        made.append(([vocabulary[rank] for rank in ranks], glue))
    return made


def edited(tokens: list[str], chance: random.Random) -> list[str]:
    """A copy with 1 to 5 % of its tokens changed."""
    copy = list(tokens)
    for _ in range(max(1, round(len(tokens) * chance.uniform(0.01, 0.05)))):
        place = chance.randrange(len(copy))
        kind = chance.randrange(3)
        copy[place : place + 1] = [[chance.choice(tokens)], [], [copy[place], copy[place]]][kind]
    return copy


def corpus(count: int) -> tuple[list[str], dict[int, int]]:
    """Texts, and for each planted copy the index of its original."""
    chance, small = np.random.default_rng(7), random.Random(7)
    texts: list[str] = []
    planted: dict[int, int] = {}
    for number, (tokens, glue) in enumerate(originals(int(count / 1.125), chance)):
        texts.append(glue.join(tokens))
        source = len(texts) - 1
        if number % 10 == 0:
            planted[len(texts)] = source
            texts.append(glue.join(edited(tokens, small)))
        if number % 40 == 1:
            planted[len(texts)] = source
            texts.append(texts[source])
    return texts[:count], {copy: source for copy, source in planted.items() if copy < count}


def deduplicate(path: Path, texts: list[str], planted: dict[int, int], threads: int) -> dict[str, Any]:
    started = time.perf_counter()
    stage = Deduplication(DeduplicationStage(threshold=THRESHOLD), threads)
    stage.prepare(lambda: read_lines(path), lambda: None)
    kept = dropped = 0
    for record in read_lines(path):
        outcome = stage.process(record)
        kept, dropped = kept + (outcome.record is not None), dropped + (outcome.record is None)
    seconds = time.perf_counter() - started
    wanted = {copy for copy, source in planted.items() if similarity(texts[copy], texts[source], 5) >= THRESHOLD}
    found = set(stage.kept_instead)
    wrong = [one for one in found if similarity(texts[one], texts[stage.kept_instead[one][0]], 5) < THRESHOLD]
    return {
        "figure": "de-duplicate, s",
        "value": round(seconds, 2),
        "goal": GOAL_SECONDS,
        "records": kept + dropped,
        "dropped": dropped,
        "recall": round(len(wanted & found) / len(wanted), 5),
        "precision": round(1 - len(wrong) / max(1, len(found)), 5),
        "planted": len(wanted),
    }


def whole_pipeline(path: Path, work: Path, threads: int) -> dict[str, Any]:
    stages = Stages.model_validate({"language": {"on": True, "unknown": True}})
    names: list[tuple[str, float]] = []
    watcher = Watcher(stage=lambda name: names.append((name, time.perf_counter())), progress=SILENT.progress, check=SILENT.check)
    pipeline = Pipeline(path, work, assemble(stages, media=None, sets={}, threads=threads), "bench", watcher)
    pipeline.run()
    ends = [at for _name, at in names[1:]] + [time.perf_counter()]
    seconds = {name: round(end - at, 2) for (name, at), end in zip(names, ends, strict=True)}
    return {"figure": "all stages, s", "value": round(sum(seconds.values()), 2), "stages": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    texts, planted = corpus(given.records)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "records.jsonl")
        path.write_bytes(b"".join(record_line({"id": str(number), "text": text}) for number, text in enumerate(texts)))
        print(json.dumps({"figure": "megabytes", "value": round(path.stat().st_size / 1e6, 1)}), flush=True)
        print(json.dumps(deduplicate(path, texts, planted, given.threads)), flush=True)
        print(json.dumps(whole_pipeline(path, Path(name, "work"), given.threads)), flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"figure": "peak memory, MB (with the corpus itself)", "value": memory}), flush=True)


if __name__ == "__main__":
    main()

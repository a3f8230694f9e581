"""What a training run may cost and must survive, one figure after the other (give names to run only some):

- tokens: 100,000 conversations from the file to the first step, and again with the tokens kept (goals 60 s on two cores, 15);
- start: from the start of the program to its first loss, LoRA on a Llama of 110 M parameters and 32,000 tokens (goal 8 s);
- stalls: share of a run's time that its checkpoints take, at the defaults and at the worst cadence (goal 2 %);
- kills: kill -9 of the trainer at 100 random moments: the newest checkpoint loads each time, and at the end the losses
  are those of an undisturbed run, to the last bit;
- cancel: 50 runs of the real product cancelled at random moments: seconds until no process of the group lives (goal 5), orphans;
- pages: p95 of the pages' answers while a run trains (goal 200 ms).
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_jobs import percentile, pretraining  # noqa: E402
from benchmarks.bench_planner import write_base  # noqa: E402
from tests.product import Api, Product, wait_for  # noqa: E402
from tests.workers.train import tiny  # noqa: E402
from workers.supervise import Child  # noqa: E402
from workers.train.checkpoint import Checkpoint, CheckpointStore  # noqa: E402

CONVERSATIONS = 100_000
WORDS = ("the", "lamp", "book", "chair", "umbrella", "is", "in", "Paris", "please", "tell", "me", "where", "it", "today")
SMALL = {"tokens_per_step": 256, "precision": "float32"}


def report(figure: str, **values: Any) -> None:
    print(json.dumps({"figure": figure, **values, "load": round(os.getloadavg()[0], 1)}), flush=True)


def finish(run: tiny.Run, child: Any) -> dict[str, Any]:
    if child.wait(3600):
        raise SystemExit((run.folder / "output.txt").read_text(encoding="utf-8")[-2000:])
    return dict(json.loads((run.folder / "result.json").read_text(encoding="utf-8")))


# Tokens


def tokens(folder: Path, count: int) -> None:
    """Two starts of the same run; everything between the process's start and its first step is counted."""
    dice = random.Random(0)
    rows = [
        {
            "id": str(number),
            "messages": [
                {"role": "user", "content": " ".join(dice.choices(WORDS, k=20))},
                {"role": "assistant", "content": " ".join(dice.choices(WORDS, k=40))},
            ],
        }
        for number in range(count)
    ]
    (folder / "model").mkdir()
    base = write_base(folder / "model", {"shape": "10M", "vocabulary": 4096})  # it reads 4,096 tokens, so that all rows fit
    inputs = {"dataset": tiny.dataset(folder / "data.jsonl", rows), "base_model": tiny.model(base)}
    os.environ["SHUYUAN_CACHE"] = str(folder / "cache")
    settings = {"name": "run", "base_model": 1, "datasets": [1], "method": "full", "held_out_fraction": 0.001}
    given = {**settings, "epochs": 1e-6, "optimisation": SMALL}
    for name in ("first start", "second start"):
        run = tiny.Run(folder / name.replace(" ", "-"), "sft", given, inputs)
        began = time.time()
        result = finish(run, run.start())
        training = next(event["t"] for event in run.events("phase") if event["name"] == "training")
        learnt = result["examples"] + result["held_out_examples"]
        report(
            f"tokens, {name}", conversations=learnt, seconds=round(training - began, 1), goal=60 if name == "first start" else 15
        )
    del os.environ["SHUYUAN_CACHE"]


# Start


def start(folder: Path, rounds: int) -> None:
    """The same run several times: from the program's start to its first loss and to the end of its first step."""
    case = {"shape": "110M", "vocabulary": 32_000}
    (folder / "model").mkdir()
    base = write_base(folder / "model", case)
    inputs = {"dataset": tiny.dataset(folder / "data.jsonl", tiny.conversations(200)), "base_model": tiny.model(base)}
    spec = {"name": "run", "base_model": 1, "datasets": [1], "method": "lora", "epochs": 0.1}
    for number in range(rounds):
        run = tiny.Run(folder / f"run-{number}", "sft", spec, inputs, threads=2)
        file, began = run.file(), time.time()
        command = [sys.executable, "-m", "workers.train", str(file)]
        finish(run, Child.start(command, log=run.folder / "output.txt", directory=ROOT, threads=2).process)
        losses = [event for event in run.events("metric") if "loss" in event["values"]]
        at = {event["name"]: round(event["t"] - began, 2) for event in run.events("phase")}
        first_step = next(event["t"] for event in losses if event["step"] == 1)
        report("start", first_loss=round(losses[0]["t"] - began, 2), first_step=round(first_step - began, 2), goal=8, phases=at)


# Stalls


def stalls(folder: Path, seconds: float, cadences: Sequence[float]) -> None:
    """A model of 27 M parameters (a checkpoint of a third of a gigabyte) for `seconds`, at each cadence."""
    case = {"shape": "27M", "vocabulary": 4096}
    (folder / "model").mkdir()
    base = write_base(folder / "model", case)
    inputs = {"dataset": tiny.dataset(folder / "data.jsonl", tiny.conversations(2000)), "base_model": tiny.model(base)}
    given = {"tokens_per_step": 1024, "precision": "float32"}
    for every in cadences:
        spec = {
            "name": "run", "base_model": 1, "datasets": [1], "method": "full", "epochs": 50, "optimisation": given,
            "time_budget_seconds": seconds, "saving": {"every_seconds": every}, "held_out_fraction": 0,
        }  # fmt: skip
        run = tiny.Run(folder / f"every-{every}", "sft", spec, inputs)
        result = finish(run, run.start())
        spent = [event["seconds"] for event in run.events("checkpoint")]
        share = sum(spent) / result["seconds"]
        report("stalls", every_seconds=every, checkpoints=len(spent), share=round(share, 4), goal=0.02, each=spent[:3])


# Kills


def newest(folder: Path) -> Checkpoint | None:
    """The checkpoint from which a run would go on; none where none was finished."""
    manifest = next(iter(folder.glob("step-*/manifest.json")), None)
    if manifest is None:
        return None
    digest = json.loads(manifest.read_text(encoding="utf-8"))["digest"]
    return CheckpointStore(folder, digest=digest, keep=2).latest()


def kills(folder: Path, count: int, seed: int) -> None:
    dice = random.Random(seed)
    tokenizer = tiny.make_tokenizer(folder / "tokenizer")
    inputs = {"dataset": tiny.dataset(folder / "data.jsonl", tiny.passages()), "tokenizer": tiny.model(tokenizer)}
    steps = 12 * count + 50
    shape = {"architecture": tiny.TINY, "sequence_length": 64, "token_budget": steps * 256, "optimisation": SMALL}
    settings = {"name": "run", "datasets": [1], **shape}
    peace = tiny.Run(folder / "peace", "pretrain", settings, inputs)
    expected = finish(peace, peace.start())
    run = tiny.Run(folder / "killed", "pretrain", {**settings, "saving": {"every_steps": 1}}, inputs)
    resumed_late = 0
    for _ in range(count):
        reached = max(run.curve("learning_rate"), default=0)
        child = run.start()
        if dice.random() < 0.1:
            time.sleep(dice.uniform(0, 3))  # while it starts
        else:
            run.wait_for_step(reached + dice.randint(1, 10), child)
            time.sleep(dice.uniform(0, 0.05))
        run.kill(child)
        if child.returncode == 0:
            break
        reached = max(run.curve("learning_rate"), default=0)
        found = newest(run.folder / "checkpoints")
        assert found is not None or reached <= 1, "no checkpoint can be loaded"
        if found is not None:
            assert found.tensors("weights")
            resumed_late += found.step + 2 < reached
        run.next_attempt()
    result = finish(run, run.start())
    assert run.curve("loss") == peace.curve("loss"), "the losses differ"
    report(
        "kills",
        kills=run.attempt - 1,
        loadable=run.attempt - 1,
        more_than_two_steps_lost=resumed_late,
        losses_identical=True,
        weights_identical=result["weights_sha256"] == expected["weights_sha256"],
    )


# The product


def alive(run_dir: Path) -> list[int]:
    """Living processes whose command names this run directory; dead ones that wait to be collected do not count."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
            state = (place / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(run_dir).encode() in words and state != "Z":
            found.append(int(place.name))
    return found


def start_run(api: Api, slug: str, body: Any, number: int) -> Any:
    """A run that would take for ever; every fifth one of two processes."""
    given = {**body, "name": f"run {number}", "token_budget": 10**9, "parallel": {"processes": 1 + (number % 5 == 4)}}
    return api.post(f"/workspaces/{slug}/training/pretrain", given)


def cancel(product: Product, api: Api, slug: str, body: Any, trials: int, seed: int) -> None:
    dice, taken, orphans = random.Random(seed), [], 0
    for number in range(trials):
        job = start_run(api, slug, body, number)["id"]
        run_dir = product.data / "runs" / str(job)
        wait_for(lambda: alive(run_dir), what="the run's process", every=0.02)  # noqa: B023 - called in this round
        time.sleep(dice.uniform(0, 6))
        began = time.monotonic()
        api.post(f"/jobs/{job}/cancel")
        wait_for(lambda: not alive(run_dir), what="the end of the group", every=0.02)  # noqa: B023
        taken.append(time.monotonic() - began)
        api.wait_job(job, state="cancelled")
        orphans += len(alive(run_dir))
    orphans += len(alive(product.data / "runs"))
    report(
        "cancel, seconds",
        trials=trials,
        worst=round(max(taken), 2),
        p50=round(statistics.median(taken), 2),
        goal=5,
        orphans=orphans,
    )


def pages(product: Product, api: Api, slug: str, body: Any, requests: int) -> None:
    with httpx.Client(trust_env=False, follow_redirects=True, base_url=product.url, timeout=60) as browser:
        browser.get(product.login_link)
        addresses = [f"/w/{slug}/", f"/w/{slug}/data/", f"/w/{slug}/models/", f"/w/{slug}/training/", f"/w/{slug}/jobs/"]
        for state in ("idle", "training"):
            job = start_run(api, slug, body, 1000)["id"] if state == "training" else None
            if job:
                wait_for(lambda: api.get(f"/jobs/{job}")["phase"] == "training", what="the first step")  # noqa: B023
            taken = []
            for number in range(requests):
                began = time.monotonic()
                assert browser.get(addresses[number % len(addresses)]).status_code == 200
                taken.append(1000 * (time.monotonic() - began))
            found = {"p50": round(statistics.median(taken), 1), "p95": round(percentile(taken, 0.95), 1)}
            report(f"pages, {state}, ms", **found, requests=requests, goal=200)
            if job:
                api.post(f"/jobs/{job}/cancel")
                api.wait_job(job, state="cancelled")


def in_product(folder: Path, work: Callable[..., None], *how: int) -> None:
    product = Product(folder / "data").start()
    try:
        api = product.api
        slug = api.workspace()
        work(product, api, slug, pretraining(api, slug, folder), *how)
    finally:
        product.stop()


FIGURES: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "tokens": lambda folder, given: tokens(folder, given.conversations),
    "stalls": lambda folder, given: stalls(folder, given.seconds, given.cadences),
    "start": lambda folder, given: start(folder, given.rounds),
    "kills": lambda folder, given: kills(folder, given.kills, given.seed),
    "cancel": lambda folder, given: in_product(folder, cancel, given.trials, given.seed),
    "pages": lambda folder, given: in_product(folder, pages, given.requests),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("figures", nargs="*", help=" ".join(FIGURES))
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--trials", type=int, default=50)
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--conversations", type=int, default=CONVERSATIONS)
    options.add_argument("--seconds", type=float, default=90)
    options.add_argument("--cadences", type=float, nargs="+", default=(30.0, 5.0, 0.1), help="seconds between checkpoints")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seed", type=int, default=1, help="of the moments at which kills and cancels come")
    given = options.parse_args()
    for name in given.figures or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder), given)


if __name__ == "__main__":
    main()

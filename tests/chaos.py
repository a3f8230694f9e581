"""A running chain under random kill -9 of web, worker, child, engine and redis, and the proof that nothing was lost (N4)."""

import json
import random
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.product import Api, Product, kill, wait_for

TARGETS = ("web", "worker", "child", "engine", "redis")
SHAPE = {"hidden_size": 64, "layers": 2, "heads": 2, "context_length": 256}
QUESTION = "The sum of 12 and 13 is"


@dataclass
class Acknowledged:
    """What the product said yes to while it was being killed."""

    annotations: dict[str, str] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)


class Chain:
    """Corpus → tokenizer → base model → deployment, label project and conversation, on one running product."""

    def __init__(self, product: Product, *, tokens: int) -> None:
        self.product = product
        self.api: Api = product.api
        self.slug = self.api.workspace()
        self.tokens = tokens

    def prepare(self, folder: Path) -> None:
        """Everything that the kills will then disturb, made once in peace: also the loss curve to compare with."""
        lines = [json.dumps({"text": f"The sum of {n} and {n + 1} is {2 * n + 1}."}) for n in range(3000)]
        path = folder / "corpus.jsonl"
        path.write_text("\n".join(lines) + "\n")
        made = self.api.post(f"/workspaces/{self.slug}/datasets", {"upload": self.api.upload(self.slug, path), "name": "corpus"})
        self.version = self.api.get(f"/datasets/{made['id']}/versions")["items"][0]
        self.api.wait_job(self.version["job"])
        body = {"name": "digits", "datasets": [self.version["id"]], "vocabulary": 320}
        self.api.wait_job(self.api.post(f"/workspaces/{self.slug}/training/tokenizer", body)["id"])
        self.tokenizer = self.models("tokenizer")[0]["id"]
        self.reference = self.losses(self.api.wait_job(self.start_training("undisturbed")["id"])["id"])
        self.deployment = self.api.post(f"/workspaces/{self.slug}/deployments", {"model": self.models("base")[0]["id"]})["id"]
        wait_for(self.is_served, seconds=90, what="the deployment")
        body = {"version": self.version["id"], "name": "even or odd", "preset": "classification", "labels": ["even", "odd"]}
        self.project = self.api.post(f"/workspaces/{self.slug}/label-projects", body)["id"]
        self.answer = self.wait_turn(self.ask())["content"]

    def models(self, kind: str) -> list[Any]:
        return [model for model in self.api.get(f"/workspaces/{self.slug}/models")["items"] if model["kind"] == kind]

    def start_training(self, name: str) -> Any:
        body = {
            "name": name, "datasets": [self.version["id"]], "tokenizer": self.tokenizer, "architecture": SHAPE,
            "token_budget": self.tokens, "saving": {"every_seconds": 1.0}, "seed": 7,
        }  # fmt: skip
        return self.api.post(f"/workspaces/{self.slug}/training/pretrain", body)

    def losses(self, job: int) -> dict[int, float]:
        found: dict[int, float] = {}
        after = -1
        while points := self.api.get(f"/jobs/{job}/metrics", name="loss", after=after)["items"]:
            found |= {point["step"]: point["value"] for point in points}
            after = points[-1]["step"]
        return found

    def is_served(self) -> bool:
        return bool(self.api.get(f"/deployments/{self.deployment}")["state"] == "ready")

    def ask(self) -> int:
        """Ask greedily in a new conversation; the id of the answer's turn."""
        settings = {"temperature": 0.0, "max_tokens": 48}
        body = {"deployment": self.deployment, "settings": settings}
        conversation = self.api.post(f"/workspaces/{self.slug}/conversations", body)["id"]
        made = self.api.post(f"/conversations/{conversation}/turns", {"content": QUESTION, "key": uuid.uuid4().hex})
        return int(made["turns"][1]["id"])

    def wait_turn(self, turn: int, seconds: float = 120.0) -> Any:
        def ended() -> Any:
            found = self.api.get(f"/turns/{turn}")
            return found if found["state"] in {"done", "failed", "stopped"} else None

        return wait_for(ended, seconds=seconds, what=f"the answer of turn {turn}")

    def label_one(self, said: Acknowledged) -> None:
        task = self.api.get(f"/label-projects/{self.project}/next").get("task")
        if task:
            key, value = uuid.uuid4().hex, random.choice(["even", "odd"])
            body = {"key": key, "value": [{"q": "label", "type": "choice", "value": value}]}
            self.api.post(f"/tasks/{task['id']}/annotations", body)
            said.annotations[str(task["id"])] = value


def child_pid(product: Product, name: str) -> int | None:
    """The pid of the running job's program, or of the engine."""
    statement = {
        "child": "SELECT pid FROM jobs_job WHERE state = 'running' AND pid IS NOT NULL",
        "engine": "SELECT pid FROM serving_deployment WHERE pid IS NOT NULL",
    }[name]
    with sqlite3.connect(product.data / "shuyuan.sqlite3", timeout=20) as database:
        row = database.execute(statement).fetchone()
    return int(row[0]) if row else None


def disturb(product: Product, *, kills: int, rng: random.Random, pause: tuple[float, float]) -> dict[str, int]:
    """kill -9, `kills` times that hit; how often each part was hit."""
    hits = dict.fromkeys(TARGETS, 0)
    while sum(hits.values()) < kills:
        time.sleep(rng.uniform(*pause))
        target = rng.choice(TARGETS)
        hit = kill(child_pid(product, target)) if target in {"child", "engine"} else product.kill(target)
        hits[target] += hit
    return hits


def run(chain: Chain, *, kills: int, seed: int, pause: tuple[float, float]) -> dict[str, Any]:
    """Train, chat and label while parts are killed; then look whether all is there. Raises when something was lost."""
    said = Acknowledged()
    job = chain.start_training("disturbed")["id"]
    end = threading.Event()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            while not end.wait(0.4):
                chain.label_one(said)
                said.turns.append(chain.ask())
                end.wait(2)
        except BaseException as error:  # noqa: BLE001  (told by the main thread)
            failures.append(error)

    user = threading.Thread(target=use)
    user.start()
    hits = disturb(chain.product, kills=kills, rng=random.Random(seed), pause=pause)
    end.set()
    user.join()
    if failures:
        raise failures[0]
    return {**verify(chain, job, said), "kills": hits}


def verify(chain: Chain, job: int, said: Acknowledged) -> dict[str, Any]:
    finished = chain.api.wait_job(job, seconds=600)
    losses = chain.losses(job)
    assert losses == chain.reference, "the disturbed run's losses differ from the undisturbed one's"
    answers = [chain.wait_turn(turn, 180)["content"] for turn in said.turns]
    assert all(answer == chain.answer for answer in answers), f"an answer differs: {set(answers)} instead of {chain.answer!r}"
    kept = {}
    cursor = None
    while True:
        page = chain.api.get(f"/label-projects/{chain.project}/annotations", **({"cursor": cursor} if cursor else {}))
        kept |= {str(item["task"]): item["value"][0]["value"] for item in page["items"] if item["value"]}
        if not (cursor := page["next_cursor"]):
            break
    lost = {task: value for task, value in said.annotations.items() if kept.get(task) != value}
    assert not lost, f"annotations were lost: {lost}"
    assert {model["name"] for model in chain.models("base")} == {"undisturbed", "disturbed"}
    wait_for(chain.is_served, seconds=120, what="the deployment's return")
    return {"attempts": finished["attempt"], "steps": len(losses), "answers": len(answers), "annotations": len(kept)}

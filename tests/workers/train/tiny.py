"""Tiny tokenizers, models, datasets and runs for the training tests: real programs on real files, small enough for a test."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.data.templates import load_template
from workers.program import Program
from workers.spec.run import RunFile
from workers.spec.train import Architecture
from workers.train import models
from workers.train.registry import find_method
from workers.train.session import Session
from workers.train.tokenizer import learn, write_folder

ROOT = Path(__file__).parents[3]
CITIES = ["Paris", "London", "Rome", "Berlin", "Vienna", "Oslo", "北京", "上海"]
THINGS = ["lamp", "book", "chair", "umbrella"]
TINY = {"hidden_size": 32, "layers": 2, "heads": 2, "context_length": 128}


def passages(count: int = 300) -> list[dict[str, Any]]:
    dice = random.Random(1)
    return [
        {"id": str(number), "text": f"The {dice.choice(THINGS)} in {dice.choice(CITIES)} costs {dice.randint(1, 99)} coins."}
        for number in range(count)
    ]


def conversations(count: int = 120) -> list[dict[str, Any]]:
    dice = random.Random(2)
    rows = []
    for number in range(count):
        thing, city = dice.choice(THINGS), dice.choice(CITIES)
        question = {"role": "user", "content": f"Where is the {thing}? ({number})"}
        rows.append({"id": str(number), "messages": [question, {"role": "assistant", "content": f"It is in {city}."}]})
    return rows


def preferences(count: int = 80) -> list[dict[str, Any]]:
    """The shorter answer is the better one."""
    dice = random.Random(3)
    rows = []
    for number in range(count):
        thing, city = dice.choice(THINGS), dice.choice(CITIES)
        question = {"role": "user", "content": f"Where is the {thing}? ({number})"}
        short, long = f"In {city}.", f"I love this {thing}, it costs 7 coins in {city}."
        chosen, rejected = ([{"role": "assistant", "content": text}] for text in (short, long))
        rows.append({"id": str(number), "messages": [question], "chosen": chosen, "rejected": rejected})
    return rows


def classified(count: int = 60) -> list[dict[str, Any]]:
    texts = (("I love this {}", "good"), ("This {} is broken", "bad"))
    return [
        {"id": str(number), "text": texts[number % 2][0].format(THINGS[number % 4]), "label": texts[number % 2][1]}
        for number in range(count)
    ]


def dataset(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"kind": "dataset", "id": 1, "name": path.stem, "path": str(path), "sha256": digest, "count": len(rows)}


def model(path: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "model", "id": 1, "name": "tiny", "path": str(path), **more}


def make_tokenizer(folder: Path) -> Path:
    folder.mkdir(parents=True)
    texts = [row["text"] for row in passages()] + [message["content"] for row in conversations() for message in row["messages"]]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    write_folder(folder, learn(texts, vocabulary=400, split_digits=True, special_tokens=specials))
    return folder


def make_base(folder: Path, tokenizer: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    template = load_template(tokenizer)
    made = models.new_llama(Architecture(**TINY), template, seed)
    models.save_model(made, folder, source=tokenizer, template=template)
    return folder


@dataclass
class Run:
    """One job's run directory, over all its attempts."""

    folder: Path
    kind: str
    spec: dict[str, Any]
    inputs: dict[str, Any]
    attempt: int = 1
    threads: int = 1

    def file(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "job": 1,
            "attempt": self.attempt,
            "threads": self.threads,
            "kind": self.kind,
            "spec": self.spec,
            "inputs": self.inputs,
            "run_dir": str(self.folder),
            "output_dir": str(self.folder / "out"),
        }
        path = self.folder / "run.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def program(self) -> Program:
        return Program(RunFile.model_validate_json(self.file().read_text(encoding="utf-8")))

    def here(self) -> dict[str, Any]:
        """Run in this process; errors are raised."""
        program = self.program()
        try:
            return dict(find_method(self.kind)(program))
        finally:
            program.events._file.close()

    @contextmanager
    def prepared(self, job_class: Any, spec_class: Any) -> Iterator[Any]:
        """The job of this run before its first step."""
        program = self.program()
        try:
            spec = spec_class.model_validate(self.spec)
            job = job_class(Session(program, spec), spec)
            job.prepare()
            job.session.shape(job.network, job.choices, job.longest)
            yield job
        finally:
            program.events._file.close()

    def start(self) -> subprocess.Popen[bytes]:
        """Run as the product does: a child process."""
        command = [sys.executable, "-m", "workers.train", str(self.file())]
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    def next_attempt(self) -> "Run":
        self.attempt += 1
        return self

    def events(self, type_: str | None = None) -> list[dict[str, Any]]:
        """Whole lines only: another process may be writing the last one."""
        path = self.folder / "events.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [event for event in found if type_ in (None, event["type"])]

    def samples(self, name: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events("sample") if event["name"] == name]

    def curve(self, name: str) -> dict[int, float]:
        """The last reported value at each step."""
        points = [event for event in self.events("metric") if name in event["values"]]
        return {event["step"]: event["values"][name] for event in points}

    def wait_for_step(self, step: int, child: subprocess.Popen[bytes], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and child.poll() is None:
            if max(self.curve("learning_rate"), default=0) >= step:
                return
            time.sleep(0.005)

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()

"""Runs stages over a canonical file, one after the other, each from a file to a file.

`state.json` in the work folder is written every few seconds, after the files that it speaks of: a killed run goes on there,
and gives the same bytes as one that was never killed.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workers.data.processing.batches import read_lines
from workers.data.processing.outcome import Stage, Tally
from workers.data.records import record_line
from workers.program import write_json

SAVE_SECONDS = 3.0
_LOOK_EVERY = 64


@dataclass
class State:
    """How far a run is: stage `stage` has read `read` bytes of its input and written `kept` and `dropped` bytes."""

    digest: str
    tallies: list[dict[str, Any]]
    stage: int = 0
    read: int = 0
    kept: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Watcher:
    """What the pipeline tells while it runs: `stage(name)`, `progress(share of everything)`; `check` raises to stop."""

    stage: Callable[[str], None]
    progress: Callable[[float], None]
    check: Callable[[], None]


class Pipeline:
    def __init__(self, source: Path, work: Path, stages: list[tuple[str, Callable[[], Stage]]], digest: str, watcher: Watcher):
        self.source, self.work, self.stages, self.watcher = source, work, stages, watcher
        self.dropped = work / "dropped.jsonl"
        work.mkdir(parents=True, exist_ok=True)
        self.state = self._load(digest)

    @property
    def is_done(self) -> bool:
        return self.state.stage == len(self.stages) and not self.output(len(self.stages) - 1).exists()

    def restart(self) -> None:
        """Forget what was done: its files are gone."""
        self.state = State(self.state.digest, [])

    def _load(self, digest: str) -> State:
        path = self.work / "state.json"
        if path.exists():
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["digest"] == digest:
                return State(**values)
        return State(digest, [])

    def _save(self) -> None:
        write_json(self.work / "state.json", vars(self.state))

    def run(self) -> Path:
        """All stages that are not done; returns the file of what stayed."""
        for number in range(self.state.stage, len(self.stages)):
            self._run_stage(number)
        return self.output(len(self.stages) - 1)

    def output(self, number: int) -> Path:
        return self.work / f"{number}.jsonl" if number >= 0 else self.source

    def reports(self) -> list[dict[str, Any]]:
        """One report per stage that is done or under way."""
        names = [name for name, _make in self.stages]
        return [{"name": name, **Tally.load(tally).report()} for name, tally in zip(names, self.state.tallies, strict=False)]

    def _run_stage(self, number: int) -> None:
        name, make = self.stages[number]
        self.watcher.stage(name)
        self.watcher.check()
        stage = make()
        try:
            if len(self.state.tallies) == number:
                self.state.tallies.append(Tally().dump())
            tally = Tally.load(self.state.tallies[number])
            source = self.output(number - 1)
            stage.prepare(lambda: read_lines(source), self.watcher.check)
            stage.resume(tally.entered, tally.figures)
            self._pass(number, stage, tally)
        finally:
            stage.close()
        if number > 0:
            self.output(number - 1).unlink(missing_ok=True)

    def _pass(self, number: int, stage: Stage, tally: Tally) -> None:
        source = self.output(number - 1)
        size = max(1, source.stat().st_size)
        with _reopened(self.output(number), self.state.kept) as kept, _reopened(self.dropped, self.state.dropped) as dropped:
            saved = time.monotonic()
            for line in _lines(source, self.state.read):
                self._one(line, stage, tally, kept, dropped)
                if tally.entered % _LOOK_EVERY:
                    continue
                self.watcher.progress((number + self.state.read / size) / len(self.stages))
                if time.monotonic() - saved >= SAVE_SECONDS:
                    self._checkpoint(number, stage, tally, kept, dropped)
                    saved = time.monotonic()
                    self.watcher.check()
            self._checkpoint(number, stage, tally, kept, dropped, done=True)
        self.watcher.progress((number + 1) / len(self.stages))

    def _one(self, line: bytes, stage: Stage, tally: Tally, kept: BinaryIO, dropped: BinaryIO) -> None:
        record = json.loads(line)
        outcome = stage.process(record)
        tally.count(record, outcome)
        self.state.read += len(line)
        if outcome.record is None:
            row = {
                "stage": self.stages[self.state.stage][0],
                "reason": outcome.reason,
                "detail": outcome.detail,
                "record": record,
            }
            self.state.dropped += dropped.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        else:
            self.state.kept += kept.write(line if outcome.record is record else record_line(outcome.record))

    def _checkpoint(
        self, number: int, stage: Stage, tally: Tally, kept: BinaryIO, dropped: BinaryIO, *, done: bool = False
    ) -> None:
        for file in (kept, dropped):
            file.flush()
            os.fsync(file.fileno())
        tally.figures = stage.figures()
        self.state.tallies[number] = tally.dump()
        if done:
            self.state.stage, self.state.read, self.state.kept = number + 1, 0, 0
        self._save()


def _lines(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        yield from file


def _reopened(path: Path, length: int) -> BinaryIO:
    """A file to append to, cut to the length that is sure."""
    file = path.open("r+b") if path.exists() else path.open("w+b")
    file.truncate(length)
    file.seek(length)
    return file


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

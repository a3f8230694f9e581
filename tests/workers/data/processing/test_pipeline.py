"""N4: the same bytes again, after a kill at any stage, after a stop; counts that add up."""

import contextlib
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.workers.data.processing.running import end, only, process, start_program, texts, wait_for_state, write
from workers.data.processing import pipeline
from workers.program import EXIT_BAD_INPUT, EXIT_DONE
from workers.spec.processing import Stages


def mixed(count: int) -> list[dict[str, Any]]:
    """Texts of all kinds, with copies, e-mail addresses and symbols among them."""
    chance = random.Random(9)
    said: list[str] = []
    for number in range(count):
        kind = chance.random()
        if kind < 0.15 and said:
            said.append(chance.choice(said))
        elif kind < 0.2:
            said.append("@@## " * 40)
        elif kind < 0.4:
            said.append("".join(chance.choices([chr(code) for code in range(0x4E00, 0x5000)], k=80)) + f" a{number}@b.com")
        else:
            said.append(" ".join(chance.choices([f"word{index}" for index in range(900)], k=50)) + " ")
    return texts(*said)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "output").glob("[!.]*")}


def test_counts_add_up_and_every_dropped_record_is_kept_aside(tmp_path: Path) -> None:
    records = mixed(400)
    kept, reports = process(tmp_path, records, Stages())
    stages = list(reports.values())
    assert [stage["entered"] for stage in stages[1:]] == [stage["kept"] for stage in stages[:-1]]
    assert all(stage["dropped"] == sum(stage["reasons"].values()) for stage in stages)
    dropped = [json.loads(line) for line in next(tmp_path.rglob("dropped.jsonl")).read_bytes().splitlines()]
    ids = [record["id"] for record in kept] + [row["record"]["id"] for row in dropped]
    assert sorted(ids) == sorted(record["id"] for record in records)
    assert stages[0]["entered"] == 400


def test_program_that_is_killed_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed once in each stage, and stopped once; the last attempt ends what the others began."""
    records = write(tmp_path / "records.jsonl", mixed(3000))
    stages = Stages.model_validate({"deduplication": {"embedding": True}})
    whole = start_program(tmp_path / "whole", records, stages, 3000)
    interrupted = 0
    for stage in range(6):
        child = start_program(tmp_path / "killed", records, stages, 3000)
        wait_for_state(tmp_path / "killed", child, f'"stage": {stage + 1}'.encode())
        interrupted += end(child, signal.SIGTERM if stage == 3 else signal.SIGKILL)
    assert start_program(tmp_path / "killed", records, stages, 3000).wait(120) == EXIT_DONE
    assert whole.wait(120) == EXIT_DONE
    assert interrupted, "no attempt was killed while it worked"
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["sha256"] == results[1]["sha256"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


@pytest.mark.parametrize("after", [2, 3, 7, 20, 50])
def test_stop_between_any_two_records_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """State is written at every look, and the run dies at the n-th one with bytes written that the state does not know."""
    records = mixed(400)
    monkeypatch.setattr(pipeline, "_LOOK_EVERY", 16)
    expected = process(tmp_path, records, Stages())
    monkeypatch.setattr(pipeline, "SAVE_SECONDS", 0.0)
    from workers.data.processing.assembly import assemble

    source = write(tmp_path / "records.jsonl", records)
    looks = [0]

    def look(_share: float) -> None:
        looks[0] += 1
        if looks[0] == after:
            raise Killed

    watcher = pipeline.Watcher(stage=lambda _name: None, progress=look, check=lambda: None)
    path = None
    while path is None:
        looks[0] = 0
        run = pipeline.Pipeline(source, tmp_path / "work", assemble(Stages(), media=None, sets={}), "d", watcher)
        with contextlib.suppress(Killed):
            path = run.run()
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == expected[0]
    assert {report["name"]: report for report in run.reports()} == expected[1]


def test_program_says_what_is_wrong_when_nothing_is_left(tmp_path: Path) -> None:
    records = write(tmp_path / "records.jsonl", mixed(30))
    stages = only(rules={"minimum_characters": 99_999})
    for _attempt in range(2):  # a retry starts over
        child = start_program(tmp_path / "run", records, stages, 30)
        assert child.wait(60) == EXIT_BAD_INPUT
        events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()]
        assert events[-1]["code"] == "processing.nothing_left"
        assert sorted(outputs(tmp_path / "run")) == ["dropped.jsonl", "report.json"]


def test_order_of_records_does_not_decide_the_examples(tmp_path: Path) -> None:
    records = mixed(300)
    stages = only(normalisation={}, rules={"maximum_symbols": 0.3})
    _kept, one = process(tmp_path, records, stages)
    _kept, other = process(tmp_path, records[::-1], stages)
    assert one == other

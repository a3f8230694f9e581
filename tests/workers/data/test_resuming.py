"""An import that is stopped or killed goes on where it was and ends with the very same files."""

import gzip
import json
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.workers.data.test_import_program import ROOT, events, run, run_file
from workers.data.index.child import IndexChild
from workers.data.index.reader import Index
from workers.spec.filters import RecordFilter

BUSY = """
import os, signal, sys
from workers.data import import_program
from workers.data.__main__ import run
from workers.program import Program, main
import_program.NOTE_EVERY_SECONDS = 0.0
import_program._LOOK_EVERY_ROWS = 1
rows, sign = int(sys.argv[2]), int(sys.argv[3])
note, refuse, count = import_program._Outcome._report, import_program._Outcome._refuse, import_program._Outcome._count
class Ending(import_program._Outcome):
    seen = 0
    def _step(self):
        Ending.seen += 1
        if Ending.seen == rows:
            os.kill(os.getpid(), sign)
    def _count(self, record, line):
        count(self, record, line)
        self._step()
    def _refuse(self, item, bad):
        refuse(self, item, bad)
        self._step()
import_program._Outcome = Ending
main(run, [sys.argv[1]])
"""
"""Notes after every row where it is, and sends itself a signal in the middle of some row."""


def run_until(path: Path, rows: int, sign: int) -> int:
    command = [sys.executable, "-c", BUSY, str(path), str(rows), str(int(sign))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).returncode


def content(rows: int) -> bytes:
    """Rows with and without ids, broken ones, double ones, empty lines and a byte order mark."""
    draw = random.Random(5)
    lines = []
    for number in range(rows):
        row: dict[str, Any] = {"text": f"第{number}课 what about lesson {number}?", "label": draw.choice("ab")}
        if number > rows // 3:
            row["id"] = f"r{number - number % 9 // 8}"  # every ninth id was there before
        lines.append(json.dumps(row, ensure_ascii=False) if number % 13 else "broken")
        if number % 7 == 0:
            lines.append("")
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode()


def outcome(folder: Path) -> tuple[Any, ...]:
    out = folder / "out"
    stats = json.loads((out / "stats.json").read_text())
    result = json.loads((folder / "run" / "result.json").read_text())
    result.pop("seconds")
    index = Index(out / "records.index")
    found = index.page(RecordFilter(q="lesson 5"), limit=500).positions
    return (out / "records.jsonl").read_bytes(), (out / "errors.jsonl").read_bytes(), stats, result, found, index.facets()


def prepared(folder: Path, kind: str) -> Path:
    folder.mkdir()
    upload = folder / {"jsonl": "a.jsonl", "gzip": "a.jsonl.gz", "csv": "a.csv", "zip": "a.zip"}[kind]
    if kind == "jsonl":
        upload.write_bytes(content(60))
    elif kind == "gzip":
        upload.write_bytes(gzip.compress(content(60), mtime=0))
    elif kind == "csv":
        upload.write_text("text,label\n" + "".join(f'"lesson {number}\nof {number}",{number % 3}\n' for number in range(60)))
    else:
        with zipfile.ZipFile(upload, "w") as archive:
            archive.writestr("one.jsonl", content(40))
            archive.writestr("two.jsonl", content(30))
    return run_file(folder, upload)


@pytest.mark.parametrize("kind", ["jsonl", "gzip", "csv", "zip"])
def test_killed_import_goes_on_to_the_same_bytes(tmp_path: Path, kind: str) -> None:
    """S6.5: kill -9 in the middle of rows, several times over; nothing twice, nothing missing, the same digest."""
    whole = prepared(tmp_path / "whole", kind)
    assert run(whole).returncode == 0
    path = prepared(tmp_path / "killed", kind)
    for rows in (3, random.Random(kind).randint(20, 40)):
        assert run_until(path, rows, signal.SIGKILL) == -signal.SIGKILL
    assert run(path).returncode == 0
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
    resumed = [event["records"] for event in events(tmp_path / "killed") if event["type"] == "resumed"]
    assert len(resumed) == 2
    assert resumed[-1] > 5, "it began again"
    assert not [path for path in (tmp_path / "killed" / "out").iterdir() if path.name.startswith(".")]


def test_stopped_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a", "jsonl")
    assert run_until(path, 30, signal.SIGTERM) == 75
    assert run(path).returncode == 0
    assert [event["type"] for event in events(tmp_path / "a")].count("resumed") == 1
    assert run(prepared(tmp_path / "whole", "jsonl")).returncode == 0
    assert outcome(tmp_path / "a") == outcome(tmp_path / "whole")


def test_notes_about_another_file_are_not_believed(tmp_path: Path) -> None:
    path = prepared(tmp_path / "a", "jsonl")
    assert run_until(path, 30, signal.SIGKILL) == -signal.SIGKILL
    (tmp_path / "a" / "a.jsonl").write_text('{"text": "Only this"}\n')
    assert run(path).returncode == 0
    assert len((tmp_path / "a" / "out" / "records.jsonl").read_bytes().splitlines()) == 1


def test_indexer_that_dies_leaves_no_index_and_stops_nobody(tmp_path: Path) -> None:
    """The import goes on without it; whoever asks first makes the index again."""
    child = IndexChild(tmp_path / "made.index")
    child._process.kill()
    child._process.wait()
    for number in range(20_000):
        child.add(b'{"id":"%d","text":"a text"}\n' % number)
    child.finish()
    child.discard()
    assert not (tmp_path / "made.index").exists()

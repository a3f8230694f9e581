"""The measures over HTTP, of one side after the other, and the ratios."""

import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.labelling.people import Side, Worked, work
from benchmarks.labelling.shuyuan import Shuyuan

PEOPLE, EACH = 16, 50
ROUNDS, PAGE_ROUNDS = 60, 30
IMPORTED = 100_000
WRITERS = 4
MOST_RATIO = {"16 people, annotations a second"}


def texts(count: int) -> list[str]:
    return [
        f"Where is my card number {n}? I ordered it {n % 30} days ago and the bank said it is on its way to me."
        for n in range(count)
    ]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(run: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - start))
    return found


class Figures:
    """Prints each figure as a line and keeps it for the comparison."""

    def __init__(self, side: Side, tasks: int) -> None:
        self.side, self.tasks = side, tasks
        self.found: dict[str, float] = {}

    def say(self, figure: str, value: float, unit: str, goal: float | None = None, *, least: bool = False) -> None:
        self.found[figure] = value
        row: dict[str, Any] = {
            "side": self.side.name,
            "tasks": self.tasks,
            "figure": figure,
            "value": round(value, 2),
            "unit": unit,
        }
        if goal is not None and self.side.name == "shuyuan":
            row |= {"goal": goal, "met": value >= goal if least else value <= goal}
        print(json.dumps(row), flush=True)

    def spread(self, figure: str, values: Sequence[float], half: float | None, most: float) -> None:
        self.say(f"{figure}, p50", statistics.median(values), "ms", half)
        self.say(f"{figure}, p95", percentile(values, 0.95), "ms", most)


def measure(side: Side, tasks: int) -> dict[str, float]:
    figures = Figures(side, tasks)
    figures.say("tasks ready", side.bring(texts(tasks)), "s")
    if isinstance(side, Shuyuan):
        figures.say("import", side.imported_seconds, "s", 6 * tasks / 100_000)
        figures.say("making a project, the request", side.made_seconds, "s", 2)
    for name, read in side.pages().items():
        read()
        goal = {"project list": 40, "project page": 40, "full-text filter": 60}.get(name, 30)
        figures.spread(name, timed(read, PAGE_ROUNDS), None, goal)
    alone = work(side, side.people(1), each=min(ROUNDS, tasks // 4), apart=True)
    figures.spread("next task", alone.asked, 15, 30)
    figures.spread("submit", alone.sent, 15, 30)
    at_once(side, figures, min(EACH, (tasks - len(alone.given)) // PEOPLE))
    first, seconds, size = side.export()
    figures.say("export", seconds, "s", 8 * tasks / 100_000)
    figures.say("export, first byte", 1000 * first, "ms", 300)
    figures.say("export, bytes", size, "B")
    if isinstance(side, Shuyuan):
        while_importing(side, figures)
    figures.say("peak memory of the server", side.peak_mb(), "MB")
    return figures.found


def at_once(side: Side, figures: Figures, each: int) -> None:
    """P8: 16 people × 50 tasks."""
    before = side.stored()
    people = side.people(PEOPLE)
    done = work(side, people, each=each)
    figures.say("16 people, annotations a second", len(done.given) / done.seconds, "1/s", 100, least=True)
    figures.say("16 people, submit, p95", percentile(done.sent, 0.95), "ms")
    figures.say("16 people, tasks given twice", done.twice, "", 0)
    figures.say("16 people, lost", len(done.given) - (side.stored() - before), "", 0)
    figures.say("16 people, errors", len(done.errors), "", 0)


def while_importing(side: Shuyuan, figures: Figures) -> None:
    """P10: 4 people submit while 100,000 records are imported and a project is made of them."""
    if figures.tasks < 2 * IMPORTED // 100:
        return
    ended = threading.Event()
    worked: list[Worked] = []
    people = side.people(WRITERS)
    writing = threading.Thread(target=lambda: worked.append(work(side, people, until=ended)))
    writing.start()
    start = time.perf_counter()
    side.import_file("more", texts(IMPORTED))
    seconds = time.perf_counter() - start
    ended.set()
    writing.join()
    [done] = worked
    figures.say("4 people while 100,000 are imported, submits", len(done.sent), "")
    figures.spread("4 people while 100,000 are imported, submit", done.sent, None, 300)
    figures.say("4 people while 100,000 are imported, longest submit", max(done.sent), "ms")
    figures.say("4 people while 100,000 are imported, errors", len(done.errors), "", 0)
    figures.say("100,000 imported meanwhile", seconds, "s")


def compare(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """How many times better we are, for what both have."""
    for figure in (name for name in ours if name in theirs):
        one, other = (theirs[figure], ours[figure]) if figure not in MOST_RATIO else (ours[figure], theirs[figure])
        ratio = round(one / other, 2) if other else None
        print(
            json.dumps(
                {
                    "figure": figure,
                    "shuyuan": round(ours[figure], 2),
                    "label_studio": round(theirs[figure], 2),
                    "times_better": ratio,
                }
            )
        )

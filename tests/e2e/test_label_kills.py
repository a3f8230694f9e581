"""kill -9 of the web server while several people label: every annotation that was acknowledged is there (S6.11, P9)."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.labelling.people import Person
from benchmarks.labelling.served import texts
from benchmarks.labelling.shuyuan import Shuyuan
from tests.product import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(1200)]
PEOPLE, TASKS, KILLS, BETWEEN = 4, 80, 2, 20
Answer = TypeVar("Answer")


def test_acknowledged_annotations_survive_kills_with_several_writers(tmp_path: Path) -> None:
    """After each kill people ask again and repeat what was not answered; no task is given to two, none is left."""
    side = Shuyuan(tmp_path)
    side.start()
    try:
        side.bring(texts(TASKS))
        acknowledged: dict[int, int] = {}
        progress = threading.Condition()
        people = side.people(PEOPLE)

        def label(number: int, person: Person) -> None:
            while task := insisting(partial(side.next_task, person)):
                assert insisting(partial(side.submit, person, task, f"{number}-{task}"))[0] == 200
                with progress:
                    acknowledged[task] = number
                    progress.notify_all()

        with ThreadPoolExecutor(PEOPLE) as pool:
            working = [pool.submit(label, number, person) for number, person in enumerate(people)]
            for kill in range(1, KILLS + 1):
                with progress:
                    progress.wait_for(lambda kill=kill: len(acknowledged) >= kill * BETWEEN, timeout=240)
                wait_for(partial(side.product.kill, "web"), seconds=240, what="a web server to kill")
            for one in working:
                one.result()
        stored = annotations(side)
    finally:
        side.stop()
    assert sorted(acknowledged) == sorted(stored)
    assert len(stored) == TASKS
    assert Counter(f"person{number}" for number in acknowledged.values()) == Counter(stored.values())


def insisting(ask: Callable[[], Answer]) -> Answer:
    """As a page does: ask until the server is there again."""
    last = time.monotonic() + 240
    while True:
        try:
            return ask()
        except (OSError, http.client.HTTPException):
            if time.monotonic() > last:
                raise
            time.sleep(0.05)


def annotations(side: Shuyuan) -> dict[int, str]:
    """Task → who answered it, by what the API lists; a task answered twice fails."""
    found: dict[int, str] = {}
    address = f"/label-projects/{side.project}/annotations"
    cursor = None
    while True:
        page = side.product.api.get(address, limit=50, **({"cursor": cursor} if cursor else {}))
        for item in page["items"]:
            assert item["task"] not in found
            found[item["task"]] = item["annotator"]
        if not (cursor := page["next_cursor"]):
            return found

"""People who ask and submit over one kept connection each, and what was measured of them."""

import http.client
import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Person:
    """A connection with somebody's cookies or token. `call` gives status and body."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.port = port
        self.headers = {"Accept": "application/json", **headers}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        weakref.finalize(self, self.connection.close)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode()
        headers = self.headers | ({} if content is None else {"Content-Type": "application/json"})
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, content, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                # a server may close a connection that waited; requests here are harmless to repeat or counted by the caller
                self.connection.close()
                if attempt == 2 or not isinstance(error, ConnectionError):
                    raise
        raise AssertionError

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, content = self.call(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {content[:400]!r}")
        return json.loads(content) if content else None

    def download(self, path: str) -> tuple[float, float, int]:
        """(seconds to the first byte, seconds, bytes)."""
        start = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        first = answer.read(1)
        first_byte = time.perf_counter() - start
        size = len(first)
        while piece := answer.read(1 << 20):
            size += len(piece)
        if answer.status >= 400:
            raise RuntimeError(f"{path}: {answer.status}")
        return first_byte, time.perf_counter() - start, size


class Side(Protocol):
    """One product with `tasks` text tasks."""

    name: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def bring(self, lines: Sequence[str]) -> float: ...
    def people(self, count: int) -> list[Person]: ...
    def pages(self) -> dict[str, Callable[[], Any]]: ...
    def next_task(self, person: Person) -> int | None: ...
    def submit(self, person: Person, task: int, key: str) -> tuple[int, int | None]:
        """(status, the task that the answer brings)."""
        ...

    def export(self) -> tuple[float, float, int]: ...
    def stored(self) -> int: ...
    def peak_mb(self) -> float: ...


@dataclass
class Worked:
    """What some people did: tasks handed out, milliseconds, and statuses that are none of success."""

    given: list[int] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def twice(self) -> int:
        return sum(count - 1 for count in Counter(self.given).values())


def work(
    side: Side, people: Sequence[Person], *, each: int | None = None, until: threading.Event | None = None, apart: bool = False
) -> Worked:
    """All at once: ask and submit, `each` times or until told to stop.

    As the pages do it: where the answer to a submit brings the next task, nobody asks for one, unless `apart`.
    """
    done = Worked()
    start = threading.Barrier(len(people) + 1)

    def one(number: int, person: Person) -> None:
        start.wait()
        turn, following = 0, None
        while (each is None or turn < each) and not (until and until.is_set()):
            begun = time.perf_counter()
            task = following if following is not None and not apart else side.next_task(person)
            between = time.perf_counter()
            if task is None:
                return
            status, following = side.submit(person, task, f"{id(done)}-{number}-{turn}")
            done.sent.append(1000 * (time.perf_counter() - between))
            done.asked.append(1000 * (between - begun))
            done.given.append(task)
            if status not in {200, 201, 202}:
                done.errors.append(status)
            turn += 1

    with ThreadPoolExecutor(len(people)) as pool:
        running = [pool.submit(one, number, person) for number, person in enumerate(people)]
        start.wait()
        begun = time.perf_counter()
        for each_one in running:
            each_one.result()
        done.seconds = time.perf_counter() - begun
    return done


def peak_mb(pid: int) -> float:
    """The most memory that a process has had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

"""The answering loop of a worker process: one thread with an event loop for all turns, a few threads for the database.

While answers are written each of those threads keeps its database connection: opening one costs more than what it is used
for, and a turn is saved twice a second. When the last answer has ended the connections are closed.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, close_old_connections, connections

from workers.event_loop import new_event_loop

Given = ParamSpec("Given")
Result = TypeVar("Result")
DATABASE_THREADS = 4


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop, started with the first turn."""
    made = new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True, name="answering").start()
    return made


class DatabaseThreads:
    """Threads of which each has a queue of its own, so that all their connections can be closed."""

    def __init__(self, count: int) -> None:
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=f"answering-database-{number}") for number in range(count)]
        self._waiting = [0] * count
        self._answers = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """In the thread that has least to do."""
        number = self._waiting.index(min(self._waiting))
        self._waiting[number] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads[number], self._run, work)
        finally:
            self._waiting[number] -= 1

    def _run(self, work: Callable[[], Result]) -> Result:
        if not self._answers:
            close_old_connections()
        try:
            return work()
        except DatabaseError:
            connections.close_all()
            raise
        finally:
            if not self._answers:
                close_old_connections()

    @contextlib.asynccontextmanager
    async def kept_open(self) -> AsyncIterator[None]:
        """Connections stay open within, and are closed when the last one leaves."""
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1
            if not self._answers:
                running = asyncio.get_running_loop()
                await asyncio.gather(*[running.run_in_executor(thread, connections.close_all) for thread in self._threads])


@cache
def database() -> DatabaseThreads:
    return DatabaseThreads(DATABASE_THREADS)


async def in_thread(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run a piece of blocking database work beside the loop."""
    return await database().run(lambda: work(*args, **kwargs))

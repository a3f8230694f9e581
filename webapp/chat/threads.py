"""The answering loop of a worker process: one thread with an event loop for all turns, a few threads for the database."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Given = ParamSpec("Given")
Result = TypeVar("Result")
DATABASE_THREADS = 4


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop, started with the first turn."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True, name="answering").start()
    return made


@cache
def _database() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="answering-database")


async def in_thread(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run a piece of blocking database work beside the loop."""

    def run() -> Result:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_database(), run)

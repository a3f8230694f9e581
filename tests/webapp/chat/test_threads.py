"""The answering loop's database threads: connections last as long as answers are written, and no longer."""

import asyncio
import threading

import pytest
from django.db import DatabaseError, connection

from webapp.chat.models import Turn
from webapp.chat.threads import DatabaseThreads

pytestmark = pytest.mark.django_db(transaction=True)


def look() -> tuple[str, int]:
    """Use the database; the thread's name and which connection it has."""
    Turn.objects.count()
    return threading.current_thread().name, id(connection.connection)


def is_open() -> bool:
    return connection.connection is not None


def fail() -> None:
    Turn.objects.count()
    raise DatabaseError("the server went away")


async def test_connections_are_kept_while_answers_are_written_and_closed_afterwards() -> None:
    threads = DatabaseThreads(1)
    async with threads.kept_open():
        async with threads.kept_open():
            assert await threads.run(look) == await threads.run(look)
        assert await threads.run(is_open), "another answer is still being written"
    assert not await threads.run(is_open)


async def test_connection_that_failed_is_not_used_again() -> None:
    threads = DatabaseThreads(1)
    async with threads.kept_open():
        with pytest.raises(DatabaseError):
            await threads.run(fail)
        assert not await threads.run(is_open)
        await threads.run(look)


async def test_work_goes_to_the_thread_that_has_least_to_do() -> None:
    threads = DatabaseThreads(2)
    gate = threading.Event()
    async with threads.kept_open():
        slow = asyncio.create_task(threads.run(gate.wait))
        await asyncio.sleep(0)
        first, second = await threads.run(look), await threads.run(look)
        assert first == second
        gate.set()
        await slow

"""SQL for what every claim and every submit runs: composing such a query anew takes ten times as long as running it.

For both databases; values only ever travel as parameters. Everything that runs less often is written with querysets.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Model

Found = TypeVar("Found", bound=Model)
_writers = threading.Lock()


def rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(values))
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def change(statement: str, *values: Any) -> int:
    """How many rows were changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(values))
        return int(cursor.rowcount)


def first(model: type[Found], statement: str, *values: Any) -> Found | None:
    """The first row as an object; columns that the statement leaves out are fetched when they are asked for."""
    return next(iter(model._default_manager.raw(statement, _adapted(values))), None)


@contextmanager
def writing() -> Iterator[None]:
    """A transaction. With SQLite the threads of this process queue for it here, where the next one is woken at once: inside
    the database each sleeps for a while, looks again, and sleeps longer.
    """
    if connection.features.has_select_for_update or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with _writers, transaction.atomic():
        yield


def locking(statement: str, lock: str = " FOR UPDATE") -> str:
    """PostgreSQL locks single rows; SQLite lets one writer in at a time."""
    return statement + lock if connection.features.has_select_for_update else statement


def _adapted(values: tuple[Any, ...]) -> list[Any]:
    return [_moment(value) if isinstance(value, date) else value for value in values]


def _moment(value: date) -> Any:
    operations = connection.ops
    if isinstance(value, datetime):
        return operations.adapt_datetimefield_value(value)
    return operations.adapt_datefield_value(value)

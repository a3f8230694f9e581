"""Keyset paging: a cursor names the last row seen, so that the last page costs what the first does."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from webapp.core.errors import UserError

Row = TypeVar("Row", bound=Model)
MAXIMUM_LIMIT = 500


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`items` in order; `next_cursor` is None on the last page."""

    items: list[Row]
    next_cursor: str | None


def paginate(query: QuerySet[Row], *, cursor: str | None = None, limit: int = 50, order: str = "-id") -> Page[Row]:
    """One page ordered by a unique column (`-id` newest first, or e.g. `position`)."""
    limit = max(1, min(limit, MAXIMUM_LIMIT))
    column = order.lstrip("-")
    if cursor:
        operator = "lt" if order.startswith("-") else "gt"
        try:
            query = query.filter(**{f"{column}__{operator}": decode(cursor)})
        except (ValueError, TypeError) as error:
            raise bad_cursor() from error
    rows = list(query.order_by(order)[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, encode(getattr(rows[-1], column)) if more else None)


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode(cursor: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise bad_cursor() from error


def bad_cursor() -> UserError:
    return UserError("paging.bad_cursor", "The cursor is not one that this list gave; start from the first page.")

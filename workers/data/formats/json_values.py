"""Strict reading of one JSON value: no NaN, no infinity, bounded depth; each refusal is a sentence."""

import json
import threading
from typing import Any

from workers.data.formats.base import content_error

MAX_DEPTH = 64
_found = threading.local()


def _not_a_number(name: str) -> None:
    _found.not_a_number = name


decoder = json.JSONDecoder(parse_constant=_not_a_number)
"""Notes NaN and infinities instead of failing on them, so that the end of the value is still found."""


def parse(text: str) -> Any:
    """The value that `text` holds. Raises UserError (`record.*`) or json.JSONDecodeError."""
    _found.not_a_number = None
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        raise content_error("bad_number", "A number has too many digits.") from error
    check(value, text)
    return value


def check(value: Any, text: str) -> None:
    """Refuse what was noted while `text` was decoded to `value`."""
    name = getattr(_found, "not_a_number", None)
    if name:
        _found.not_a_number = None
        raise content_error("not_a_number", "{name} is no number that JSON knows; use null or a number.", name=name)
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise too_deep()


def too_deep() -> Exception:
    return content_error("too_deep", "Objects and lists are nested more than {limit} deep.", limit=MAX_DEPTH)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner = [child for item in level for child in _children(item)]
        if not inner:
            return False
        level = inner
    return any(isinstance(item, (dict, list)) for item in level)


def _children(item: Any) -> Any:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()

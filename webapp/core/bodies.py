"""JSON that strangers send: read strictly, so that what passes can be stored, counted with and sent on.

NaN and infinity are no JSON; depth is bounded; NUL and halves of characters, which no database and no file can hold, are
taken out, as in every name that a form brings.
"""

import json
import re
from typing import Any

from webapp.core.errors import UserError

MAX_DEPTH = 100
SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
OPENINGS = re.compile(rb"[\[{]")


def parse_json(raw: bytes) -> Any:
    """The value of a request's body. Raises UserError (`request.bad_json`, `request.too_deep`)."""
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise UserError(
            "request.bad_json",
            "The body of the request is no valid JSON: {detail}; correct it and send it again.",
            detail=str(error)[:200].rstrip("."),
        ) from error
    if len(OPENINGS.findall(raw)) > MAX_DEPTH and _is_deeper(value):
        raise _too_deep()
    return cleaned(value) if SUSPECT.search(raw) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON knows")


def _too_deep() -> UserError:
    return UserError(
        "request.too_deep", "The body of the request is nested more than {limit} deep; make it flatter.", limit=MAX_DEPTH
    )


def _is_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _children(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def clean(text: str) -> str:
    """Without NUL and without halves of characters (lone surrogates), which JSON may bring."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value

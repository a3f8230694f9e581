"""What libraries say, in words of ours: the messages of pydantic, JSON readers and the system that errors carry along.

`explain` gives the reader's language for those it knows. What it does not know stays as it is; a page folds it away.
"""

import re
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

CARRIERS = frozenset({"detail", "reason", "trouble"})
"""Parameters of a UserError that may hold a library's own words."""
PLACE = re.compile(r"^(?P<words>.*?):? line (?P<line>\d+) column (?P<column>\d+)(?: \(char \d+\))?$", re.DOTALL)
KNOWN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (r"Field required", noop("it is missing")),
        (r"Input should be a valid string.*", noop("it must be a text")),
        (r"Input should be a valid integer.*", noop("it must be a whole number")),
        (r"Input should be (a valid|a finite) (number|decimal).*", noop("it must be a number")),
        (r"Input should be a valid boolean.*", noop("it must be true or false")),
        (r"Input should be a valid (list|array|tuple|set).*", noop("it must be a list")),
        (r"Input should be (a valid dictionary|an object).*", noop("it must be an object")),
        (r"Input should be a valid (date|datetime|time).*", noop("it must be a point in time")),
        (r"Input should be greater than or equal to (?P<limit>\S+)", noop("it must be {limit} or more")),
        (r"Input should be greater than (?P<limit>\S+)", noop("it must be more than {limit}")),
        (r"Input should be less than or equal to (?P<limit>\S+)", noop("it must be {limit} or less")),
        (r"Input should be less than (?P<limit>\S+)", noop("it must be less than {limit}")),
        (r"Input should be a multiple of (?P<limit>\S+)", noop("it must be a multiple of {limit}")),
        (r"String should have at least (?P<limit>\d+) characters?", noop("it must have {limit} characters or more")),
        (r"String should have at most (?P<limit>\d+) characters?", noop("it must have {limit} characters or fewer")),
        (r"\w+ should have at least (?P<limit>\d+) items? .*", noop("it must have {limit} entries or more")),
        (r"\w+ should have at most (?P<limit>\d+) items? .*", noop("it must have {limit} entries or fewer")),
        (r"String should match pattern '.*'", noop("it has the wrong form")),
        (r"Input should be (?P<options>'.*'|[\d.]+(, [\d.]+)* or [\d.]+)", noop("it must be one of {options}")),
        (r"Input tag .* does not match any of the expected tags: (?P<options>.*)", noop("it must be one of {options}")),
        (r"Extra inputs are not permitted", noop("it is not known here; remove it")),
        (r"Expecting value|Invalid JSON: EOF while parsing.*|Unexpected end of (input|JSON).*", noop("a value is missing")),
        (r"Expecting ',' delimiter|Invalid JSON: expected `,`.*", noop("a comma is missing")),
        (r"Expecting ':' delimiter|Invalid JSON: expected `:`.*", noop("a colon is missing")),
        (r"Expecting property name enclosed in double quotes", noop("a name in double quotes is missing")),
        (r"Illegal trailing comma before end of (object|array)", noop("a comma stands before the end")),
        (r"Unterminated string starting at", noop("a text is not closed")),
        (r"Extra data", noop("something follows after the end")),
        (r"Invalid control character at", noop("a text holds a control character")),
        (r"Invalid \\(escape|uXXXX escape).*", noop("a text holds a wrong backslash")),
        (r"(\S+: )?(\[Errno 28\] )?No space left on device.*", noop("the disk is full")),
        (r"(\S+: )?(\[Errno 122\] )?Disk quota exceeded.*", noop("the disk is full")),
        (r"(\S+: )?(\[Errno 13\] )?Permission denied.*", noop("the system gives no permission")),
        (r"(\S+: )?(\[Errno 12\] )?Cannot allocate memory.*", noop("there is not enough memory")),
        (r"(\S+: )?(\[Errno 24\] )?Too many open files.*", noop("too many files are open")),
        (r"(\w+ )?(\[Errno 111\] Connection refused|All connection attempts failed)", noop("nothing answers there")),
        (r"(Connect|Read|Write|Pool)Timeout.*|timed out", noop("it took too long")),
    )
)


def explain(text: str) -> str | None:
    """A library's message in the reader's language; None when it is not a known one."""
    bare = text.strip().rstrip(".")
    place = PLACE.match(bare)
    if place and (words := _explain(place["words"])):
        return gettext("{words} (line {line}, column {column})").format(words=words, **_numbers(place))
    return _explain(bare)


def _numbers(place: re.Match[str]) -> dict[str, str]:
    return {"line": place["line"], "column": place["column"]}


def _explain(bare: str) -> str | None:
    own = bare.removeprefix("Value error, ")
    if own != bare:  # a sentence of our own, said by a validator
        return gettext(own)
    for pattern, words in KNOWN:
        if found := pattern.fullmatch(bare):
            return gettext(words).format(**{name: value.replace(" or ", ", ") for name, value in found.groupdict().items()})
    return None


def explained(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an error with known library words replaced."""
    carried = {name: value for name, value in params.items() if name in CARRIERS and isinstance(value, str)}
    return {**params, **{name: explain(value) or value for name, value in carried.items()}}

"""JSON lines: one object a line."""

import json
from collections.abc import Iterator

from workers.data.formats import json_values
from workers.data.formats.base import Container, Problem, Row, problem
from workers.data.source import MAX_LINE, Line, Source
from workers.spec.errors import UserError


class JsonLines(Container):
    name = "jsonl"
    suffixes = (".jsonl", ".ndjson")
    row_per_line = True

    def recognises(self, head: bytes, whole: bool) -> bool:
        """The first line that says something begins with a brace and either is a whole object, or others begin so too."""
        lines = [line for line in head.split(b"\n") if line.strip()]
        if not lines or not lines[0].lstrip().startswith(b"{"):
            return False
        try:
            return isinstance(json.loads(lines[0]), dict)
        except (ValueError, RecursionError):
            beginnings = [line.startswith((b'{"', b"{ ")) for line in lines[:5]]
            return len(lines) > 1 and sum(beginnings) >= 2

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        for line in source.lines():
            if line.content is None:
                yield too_long(line)
            elif line.content and not line.content.isspace():
                yield _row(line, line.content, source.looks_like_gb18030)


def too_long(line: Line) -> Problem:
    return problem(
        line.number,
        line.head,
        "line_too_long",
        "The line is longer than {limit} MB; split the record.",
        limit=MAX_LINE // 1024 // 1024,
    )


def decode_line(line: Line, content: bytes, offer_gb18030: bool) -> str | Problem:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if offer_gb18030:
            return problem(
                line.number, line.head, "encoding", "The line is no UTF-8; the file seems to be GB18030: choose that encoding."
            )
        return problem(
            line.number,
            line.head,
            "encoding",
            "Byte {position} of the line is no valid UTF-8; save the file as UTF-8.",
            position=error.start + 1,
        )


def _row(line: Line, content: bytes, offer_gb18030: bool) -> Row | Problem:
    text = decode_line(line, content, offer_gb18030)
    if isinstance(text, Problem):
        return text
    try:
        value = json_values.parse(text)
    except json.JSONDecodeError as error:
        if not line.ended:
            return problem(line.number, text, "truncated", "The file breaks off in the middle of this line; upload it again.")
        return problem(
            line.number,
            text,
            "broken_json",
            "The line is no valid JSON at character {position}: {detail}.",
            position=error.pos + 1,
            detail=error.msg,
        )
    except UserError as error:
        return Problem(line.number, error, text[:200])
    if not isinstance(value, dict):
        return problem(line.number, text, "no_object", "The line is no JSON object; each line must be one, like {example}.",
                       example='{"text": "…"}')  # fmt: skip
    return Row(line.number, value, text[:200])

"""One JSON document: a list of objects, an object that holds such a list, or an object of columns; read piece by piece."""

import json
import re
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from workers.data.formats import json_values
from workers.data.formats.base import Container, Problem, Row, problem
from workers.data.source import MAX_LINE, Source
from workers.spec.errors import UserError

_SPACE = re.compile(r"\s*")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*\{")
_PARTS_OF_A_RECORD = frozenset(
    {
        "messages",
        "conversations",
        "conversation",
        "chosen",
        "rejected",
        "preferred_output",
        "non_preferred_output",
        "tools",
        "media",
        "shapes",
        "img_list",
        "responses",
        "answers",
        "completions",
    }
)


class JsonDocument(Container):
    name = "json"
    suffixes = (".json",)

    def recognises(self, head: bytes, whole: bool) -> bool:
        return head.lstrip()[:1] in (b"[", b"{")

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        reader = Reader(source)
        opening = reader.peek()
        if opening not in ("[", "{"):
            yield problem(1, reader.rest(200), "broken_json", "The file is no JSON list and no JSON object.")
            return
        item: Row | Problem | None = None
        for item in _elements_as_rows(reader) if opening == "[" else _object_rows(reader):
            yield item
        if not isinstance(item, Problem):
            yield from _rest(reader)


def _rest(reader: "Reader") -> Iterator[Problem]:
    """What stands behind a document that ended well."""
    if reader.peek() == "}":
        reader.position += 1
    if reader.peek():
        yield problem(
            reader.here(),
            reader.rest(200),
            "more_follows",
            "More follows after the end of the JSON document, and is left out; if each line is an object, choose JSON Lines.",
        )


class Reader:
    """A window on the document's text that moves forward; knows the line it stands on."""

    def __init__(self, source: Source) -> None:
        self._chunks = source.chunks()
        self._pending = b""
        self._offer_gb18030 = source.looks_like_gb18030
        self.text = ""
        self.position = 0
        self.line = 1
        self._counted = 0
        self.ended = False

    def more(self) -> bool:
        """Read on; False at the end of the file. Broken bytes become marks that no JSON text contains."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.ended = True
            return False
        data = self._pending + chunk
        cut = _cut_character(data)
        self._pending = data[cut:]
        self._count_lines()
        self.text = self.text[self.position :] + data[:cut].decode("utf-8", "surrogateescape")
        self.position = self._counted = 0
        return True

    def _count_lines(self) -> None:
        self.line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position

    def here(self) -> int:
        """The number of the line."""
        self._count_lines()
        return self.line

    def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            self.position = _SPACE.match(self.text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ""

    def rest(self, count: int) -> str:
        return self.text[self.position : self.position + count]

    def value(self) -> Any:
        """Decode the value that begins here. Raises JSONDecodeError when it is broken, UserError when it is not allowed."""
        while True:
            try:
                value, end = json_values.decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError:
                if len(self.text) - self.position > MAX_LINE or not self.more():
                    raise
                continue
            except RecursionError as error:
                raise json_values.too_deep() from error
            if end == len(self.text) and self.more():
                continue  # a number may go on
            piece = self.text[self.position : end]
            self.position = end
            json_values.check(value, piece)
            if _is_broken(piece):
                raise UserError(*_encoding_words(self._offer_gb18030))
            return value

    def skip_to_next_object(self) -> bool:
        """After a broken element: go on at what looks like the next one."""
        while True:
            found = _NEXT_OBJECT.search(self.text, self.position)
            if found:
                self.position = found.end() - 1
                return True
            self.position = max(self.position, len(self.text) - 1)
            if not self.more():
                return False


def _cut_character(data: bytes) -> int:
    """Where to cut so that no UTF-8 character is torn."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            return len(data) - back
        if byte < 0x80:
            break
    return len(data)


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _encoding_words(offer_gb18030: bool) -> tuple[str, str]:
    if offer_gb18030:
        return "record.encoding", "The record is no UTF-8; the file seems to be GB18030: choose that encoding."
    return "record.encoding", "The record holds bytes that are no valid UTF-8; save the file as UTF-8."


def elements(reader: Reader) -> Iterator[tuple[int, Any, str] | Problem]:
    """The elements of the list that begins here, one by one; broken ones as problems."""
    reader.position += 1
    if reader.peek() == "]":
        reader.position += 1
        return
    while True:
        reader.peek()
        line, head = reader.here(), reader.rest(200)
        try:
            value = reader.value()
        except json.JSONDecodeError as error:
            yield _broken(reader, line, head, error)
            if not reader.skip_to_next_object():
                return
            continue
        except UserError as error:
            yield Problem(line, error, head)
        else:
            yield line, value, head
        separator = reader.peek()
        if separator == ",":
            reader.position += 1
            if reader.peek() == "]":
                separator = "]"
        if separator == "]":
            reader.position += 1
            return
        if separator != ",":
            template = "The list breaks off here; upload the whole file." if not separator else "A comma is missing here."
            yield problem(reader.here(), reader.rest(200), "truncated" if not separator else "broken_json", template)
            if not separator or not reader.skip_to_next_object():
                return


def _broken(reader: Reader, line: int, head: str, error: json.JSONDecodeError) -> Problem:
    if reader.ended and (error.pos >= len(reader.text) - 1 or error.msg.startswith("Unterminated")):
        return problem(line, head, "truncated", "The file breaks off in the middle of this record; upload it again.")
    if len(reader.text) - reader.position > MAX_LINE:
        return problem(line, head, "line_too_long", "The record is longer than {limit} MB or is no valid JSON.", limit=8)
    return problem(line, head, "broken_json", "The record that begins here is no valid JSON: {detail}.", detail=error.msg)


def _elements_as_rows(reader: Reader) -> Iterator[Row | Problem]:
    for element in elements(reader):
        if isinstance(element, Problem):
            yield element
            continue
        line, value, head = element
        yield _as_row(line, value, head)


def _as_row(line: int, value: Any, head: str) -> Row | Problem:
    if isinstance(value, str):
        return Row(line, {"text": value}, head)
    if isinstance(value, dict):
        return Row(line, value, head)
    return problem(line, head, "no_object", "The list holds something that is neither an object nor a text.")


def _object_rows(reader: Reader) -> Iterator[Row | Problem]:
    """An object: a list of objects below one key is the data; lists of plain values are columns; else it is one record."""
    reader.position += 1
    scalars: dict[str, Any] = {}
    columns: dict[str, IO[str]] = {}
    delivered = False
    while reader.peek() == '"':
        line, head = reader.here(), reader.rest(200)
        try:
            key = reader.value()
            if reader.peek() != ":":
                raise json.JSONDecodeError("':' expected", reader.text, reader.position)
            reader.position += 1
            is_list = reader.peek() == "[" and key not in _PARTS_OF_A_RECORD
            if not is_list:
                scalars[key] = reader.value()
        except (json.JSONDecodeError, UserError) as error:
            yield problem(line, head, "broken_json", "The object is no valid JSON: {detail}.", detail=str(error)[:200])
            return
        if is_list:
            for item in _list_of_object(reader, columns, key):
                delivered = True
                yield item
        if reader.peek() == ",":
            reader.position += 1
    if not delivered and scalars:
        yield Row(1, {**scalars, **{name: _whole_list(file) for name, file in columns.items()}}, "")
    elif not delivered and columns:
        yield from _column_rows(columns)
    if reader.peek() != "}":
        yield problem(reader.here(), reader.rest(200), "truncated", "The object breaks off here; upload the whole file.")


def _list_of_object(reader: Reader, columns: dict[str, IO[str]], key: str) -> Iterator[Row | Problem]:
    """Rows, if the list holds objects; otherwise it is kept as a column in a temporary file."""
    column: IO[str] | None = None
    for element in elements(reader):
        if isinstance(element, Problem):
            yield element
            continue
        line, value, head = element
        if isinstance(value, dict) and column is None:
            yield Row(line, value, head)
            continue
        if column is None:
            column = columns[key] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        column.write(json.dumps(value) + "\n")


def _whole_list(file: IO[str]) -> list[Any]:
    with file:
        file.seek(0)
        return [json.loads(cell) for cell in file]


def _column_rows(columns: dict[str, IO[str]]) -> Iterator[Row | Problem]:
    for file in columns.values():
        file.seek(0)
    try:
        for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
            row = {name: json.loads(cell) for name, cell in zip(columns, cells, strict=True)}
            yield Row(number, row, json.dumps(row, ensure_ascii=False)[:200])
    except ValueError:
        yield problem(1, "", "ragged_columns", "The columns {columns} have different lengths.", columns=", ".join(columns))
    finally:
        for file in columns.values():
            file.close()

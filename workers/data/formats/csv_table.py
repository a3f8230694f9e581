"""Tables: comma, tab, semicolon or bar between cells, with or without a header line; cells may hold line ends."""

import csv
from collections import Counter
from collections.abc import Iterator

from workers.data.formats.base import Container, Problem, Row, problem
from workers.data.formats.field_names import is_known_name
from workers.data.formats.jsonl import decode_line, too_long
from workers.data.source import MAX_LINE, Source

csv.field_size_limit(MAX_LINE)
_SAMPLE_ROWS = 30


class Table(Container):
    """A table with a delimiter that is found out, or given by a subclass."""

    name = "csv"
    suffixes: tuple[str, ...] = (".csv",)
    delimiters = ",\t;|"

    def recognises(self, head: bytes, whole: bool) -> bool:
        text = head.decode("utf-8", "replace")
        rows = _sample(text, find_delimiter(text, self.delimiters), whole)
        widths = {len(row) for row in rows if row}
        return len(widths) == 1 and widths != {1} and (len(rows) > 1)

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        text = source.head.decode("utf-8", "replace")
        delimiter = find_delimiter(text, self.delimiters)
        lines = _Lines(source)
        reader = csv.reader(lines, delimiter=delimiter)
        sample = _sample(text, delimiter, source.is_whole)
        names = header(sample)
        given = names is not None
        names = names or [f"column_{index + 1}" for index in range(max(map(len, sample), default=1))]
        while True:
            begun = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                yield problem(begun, lines.last, "broken_row", "The row cannot be read: {detail}.", detail=str(error))
                continue
            finally:
                yield from lines.take_problems()
            if given:
                given = False
            elif any(cells):
                yield _row(begun, cells, names, delimiter, lines)


class TabTable(Table):
    name = "tsv"
    suffixes = (".tsv", ".tab")
    delimiters = "\t"


class _Lines:
    """Decoded lines for csv.reader; broken ones are kept aside, and quotation marks are counted."""

    def __init__(self, source: Source) -> None:
        self._lines = source.lines()
        self._offer = source.looks_like_gb18030
        self._problems: list[Problem] = []
        self.last = ""
        self.quotes = 0
        self.finished = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        for line in self._lines:
            decoded = too_long(line) if line.content is None else decode_line(line, line.content, self._offer)
            if isinstance(decoded, Problem):
                self._problems.append(decoded)
                return ""
            self.quotes += decoded.count('"')
            self.last = decoded[:200]
            return decoded + "\r" * line.carriage + "\n" * line.ended
        self.finished = True
        raise StopIteration

    def take_problems(self) -> list[Problem]:
        problems, self._problems = self._problems, []
        return problems


def _row(line: int, cells: list[str], names: list[str], delimiter: str, lines: _Lines) -> Row | Problem:
    head = delimiter.join(cells)[:200]
    if lines.finished and lines.quotes % 2:
        return problem(line, head, "open_quote", "A quotation mark that opens in this row is never closed.")
    if len(cells) > len(names):
        return problem(
            line,
            head,
            "too_many_cells",
            "The row has {cells} cells but the table has {columns} columns; put quotation marks around cells with {delimiter}.",
            cells=len(cells),
            columns=len(names),
            delimiter={"\t": "tabs"}.get(delimiter, f"«{delimiter}»"),
        )
    return Row(line, dict(zip(names, cells, strict=False)), head)


def find_delimiter(head: str, candidates: str) -> str:
    """The one that cuts the first rows into most equally many cells, more than one."""
    best, best_score = candidates[0], 0.0
    for delimiter in candidates:
        widths = Counter(len(row) for row in _sample(head, delimiter, False) if row)
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        score = times / widths.total() * (1 + min(width, 20) / 100) if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _sample(head: str, delimiter: str, whole: bool) -> list[list[str]]:
    """The first rows; the last one may be torn and is left out unless it is all."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(head.splitlines(keepends=True), delimiter=delimiter):
            rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    return rows if whole or len(rows) < 2 else rows[:-1]


def header(sample: list[list[str]]) -> list[str] | None:
    """The names in the first row; None when it is data. Names are short, different, no numbers, and known or unlike the rest."""
    if not sample:
        return None
    first = [cell.strip() for cell in sample[0]]
    filled = [cell for cell in first if cell]
    if len(set(first)) < len(first) or any(len(cell) > 64 or _is_number(cell) for cell in filled):
        return None
    known = sum(is_known_name(cell) for cell in filled)
    if 2 * known >= len(filled) or (known and len(filled) > 2):
        return [cell or f"column_{index + 1}" for index, cell in enumerate(first)]
    rest = sample[1:]
    unlike = all(cell not in {row[index].strip() for row in rest if index < len(row)} for index, cell in enumerate(first))
    names = unlike and all(map(_is_like_a_name, filled))
    told = any(not _is_like_a_name(cell) for row in rest for cell in row if cell.strip())
    return [cell or f"column_{index + 1}" for index, cell in enumerate(first)] if names and told else None


def _is_like_a_name(cell: str) -> bool:
    words = cell.replace("_", " ").replace("-", " ").split()
    return len(words) <= 3 and len(cell) <= 30 and all(word.isalnum() for word in words)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

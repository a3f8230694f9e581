"""Plain text: paragraphs between empty lines, or each line where there are no empty lines."""

from collections.abc import Iterator

from workers.data.formats.base import Container, Problem, Row, problem
from workers.data.formats.jsonl import decode_line, too_long
from workers.data.source import MAX_LINE, Source


class PlainText(Container):
    name = "text"
    suffixes = (".txt", ".text", ".md")

    def recognises(self, head: bytes, whole: bool) -> bool:
        return b"\0" not in head

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        by_paragraph = b"\n\n" in source.head.replace(b"\r\n", b"\n").strip()
        paragraph: list[str] = []
        start, length = 1, 0
        for line in source.lines():
            if line.content is None:
                yield too_long(line)
                continue
            text = decode_line(line, line.content, source.looks_like_gb18030)
            if isinstance(text, Problem):
                yield text
                continue
            if text.strip():
                start = start if paragraph else line.number
                paragraph.append(text)
                length += len(text)
            if paragraph and (not text.strip() or not by_paragraph or length > MAX_LINE):
                yield _paragraph(start, paragraph)
                paragraph, length = [], 0
        if paragraph:
            yield _paragraph(start, paragraph)


def _paragraph(line: int, lines: list[str]) -> Row | Problem:
    text = "\n".join(lines)
    if len(text) > MAX_LINE:
        return problem(line, text, "line_too_long", "The paragraph is longer than {limit} MB; split it.", limit=8)
    return Row(line, {"text": text}, text[:200])

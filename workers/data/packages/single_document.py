"""A document alone (PDF, DOCX, EPUB, HTML): one record with its text, its counts and the file itself.

It is read by a child process with limits of memory and time: a stranger's document must not harm who looks at it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.data.formats.base import Problem, content_error
from workers.data.media_files import MediaSink
from workers.data.readings import Content, Reading
from workers.data.source import MAX_LINE
from workers.spec.errors import UserError

PREVIEW_SECONDS, PREVIEW_PAGES = 6.0, 20
IMPORT_SECONDS, IMPORT_PAGES = 120.0, 5000
_PAGES = (".html", ".htm", ".xhtml")
_REASONS = {
    "encrypted": "The document is encrypted; save it without a password and upload that.",
    "too_large": "The document unpacks to more than can be read; cut it into several.",
    "too_slow": "The document takes too long to read; cut it into several.",
    "unsupported": "The file is no PDF, DOCX, EPUB or HTML that can be read; save it as one of these.",
    "no_text": "The document holds no text; a scanned one needs character recognition first.",
    "broken": "The document is not whole or is made wrongly; save it again and upload that.",
}


def is_single_document(path: Path, name: str) -> bool:
    """By its beginning; office files and pages also by their name."""
    with path.open("rb") as file:
        head = file.read(4096)
    lower = name.lower()
    if head.startswith(b"PK\x03\x04"):
        return lower.endswith((".docx", ".epub")) or head[30:].startswith(b"mimetypeapplication/epub+zip")
    return head.lstrip()[:5] == b"%PDF-" or (lower.endswith(_PAGES) and head.lstrip().startswith(b"<"))


class DocumentReading(Reading):
    format = "document"
    container = "document"

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self._path, self._name = path, name
        self._done = 0

    @property
    def size(self) -> int:
        return max(1, self._path.stat().st_size)

    @property
    def position(self) -> int:
        return self._done

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        try:
            fields = self._read(is_preview=sink.folder is None)
            with self._path.open("rb") as file:
                stored = sink.take(file, self._name)
            yield Content(1, self._name[:200], fields, stored={0: stored})
        except UserError as error:
            yield Problem(1, error, self._name[:200])
        self._done = self.size

    def _read(self, *, is_preview: bool) -> dict[str, Any]:
        from workers.data.processing.extraction import Reader

        reader = Reader(PREVIEW_SECONDS if is_preview else IMPORT_SECONDS)
        pages = PREVIEW_PAGES if is_preview else IMPORT_PAGES
        try:
            found = reader.ask(path=str(self._path), main_text=True, maximum_pages=pages)
        finally:
            reader.close()
        if "error" in found:
            code = found["error"] if found["error"] in _REASONS else "broken"
            raise content_error(f"document_{code}", _REASONS[code])
        text: str = found.pop("text")
        if len(text.encode()) > MAX_LINE // 2:
            raise content_error("document_too_large", _REASONS["too_large"])
        media = [{"kind": "file", "name": self._name}]
        return {"id": self._name, "text": text, "media": media, "facets": {"source": self._name}, "extra": found}

"""Text out of one document: PDF, DOCX, EPUB, HTML, plain text. Runs in `reader_child`, never in the web or the pipeline itself.

Limits: bytes of a file, bytes that an archive member unpacks to, pages, characters of the result. Time and memory are
limited from outside, by whoever runs the child.
"""

import logging
import posixpath
import zipfile
import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

MAX_FILE = 256 << 20
MAX_MEMBER = 64 << 20
MAX_TEXT = 2_000_000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BOX = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_BOOK = "{http://www.idpf.org/2007/opf}"


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says; `pages` and `chapters` where it has such parts (all of them, also when not all were read)."""

    text: str
    pages: int | None = None
    chapters: int | None = None

    @property
    def paragraphs(self) -> int:
        return sum(1 for line in self.text.splitlines() if line.strip())


class Unreadable(Exception):
    """Why a document gives no text: a code (`broken`, `encrypted`, `too_large`, `unsupported`, `no_text`)."""


def read_document(path: Path, *, main_text: bool, maximum_pages: int) -> Document:
    """A file recognised by its content. Raises Unreadable."""
    if path.stat().st_size > MAX_FILE:
        raise Unreadable("too_large")
    with path.open("rb") as file:
        start = file.read(4096)
    if start.lstrip()[:5] == b"%PDF-":
        found = read_pdf(path, maximum_pages)
    elif start[:4] == b"PK\x03\x04":
        found = read_package(path, maximum_pages, main_text=main_text)
    elif b"\x00" in start and start[:2] not in {b"\xff\xfe", b"\xfe\xff"}:
        raise Unreadable("unsupported")
    else:
        found = Document(plain_or_html(path.read_bytes()[:MAX_MEMBER], main_text=main_text))
    text = found.text[:MAX_TEXT].replace("\x00", "").encode("utf-8", "ignore").decode().strip()
    if not text:
        raise Unreadable("no_text")
    return replace(found, text=text)


def read_pdf(path: Path, maximum_pages: int) -> Document:
    """The pages that have a text layer, a blank line between; scanned pages have none."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    pages, length = [], 0
    try:
        reader = PdfReader(path, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted")
        count = len(reader.pages)
        for page in reader.pages[:maximum_pages]:
            pages.append(page.extract_text().strip())
            length += len(pages[-1])
            if length > MAX_TEXT:
                break
    except Unreadable:
        raise
    except DependencyError as error:  # a cipher that this machine cannot undo
        raise Unreadable("encrypted") from error
    except MemoryError as error:
        raise Unreadable("too_large") from error
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError,
            NotImplementedError, AssertionError, ArithmeticError) as error:  # fmt: skip
        raise Unreadable("broken") from error
    return Document("\n\n".join(page for page in pages if page), pages=count)


def read_package(path: Path, maximum_chapters: int, *, main_text: bool) -> Document:
    """A document that is an archive of XML: DOCX or EPUB."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "word/document.xml" in names:
                return Document(docx_text(_member(archive, "word/document.xml")))
            if "META-INF/container.xml" in names:
                return read_book(archive, maximum_chapters, main_text=main_text)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Unreadable("broken") from error
    raise Unreadable("unsupported")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Its content, unless that is too large."""
    with archive.open(name) as member:
        content = member.read(MAX_MEMBER + 1)
    if len(content) > MAX_MEMBER:
        raise Unreadable("too_large")
    return content


def _tree(content: bytes) -> Any:
    from lxml import etree

    if b"<!ENTITY" in content:
        raise Unreadable("broken")
    try:
        return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise Unreadable("broken") from error


def read_book(archive: zipfile.ZipFile, maximum_chapters: int, *, main_text: bool) -> Document:
    """An EPUB: the pages in the order of its spine (EPUB 3.3, sections 4.2.6.3.1 and 5.7)."""
    package = next(
        (each.get("full-path", "") for each in _tree(_member(archive, "META-INF/container.xml")).iter(f"{_BOX}rootfile")), ""
    )
    names = set(archive.namelist())
    if package not in names:
        raise Unreadable("broken")
    root = _tree(_member(archive, package))
    hrefs = {item.get("id"): item.get("href", "") for item in root.iter(f"{_BOOK}item")}
    spine = [hrefs.get(item.get("idref"), "") for item in root.iter(f"{_BOOK}itemref")]
    said: list[str] = []
    for href in spine[:maximum_chapters]:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(href).split("#")[0]))
        if name in names:
            said.append(plain_or_html(_member(archive, name), main_text=main_text).strip())
        if sum(map(len, said)) > MAX_TEXT:
            break
    return Document("\n\n".join(filter(None, said)), chapters=len(spine))


def docx_text(content: bytes) -> str:
    """Paragraphs on lines, cells of a table row with a tab between. Documents with a DTD (entity bombs) are refused."""
    from lxml import etree

    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise Unreadable("broken")
    pieces: list[str] = []
    try:
        for event, element in etree.iterparse(
            BytesIO(content), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        ):
            pieces += _docx_piece(event, element)
    except etree.XMLSyntaxError as error:
        raise Unreadable("broken") from error
    lines = [line.strip(" \t") for line in "".join(pieces).split("\n")]
    return "\n".join(line for line in lines if line)


def _docx_piece(event: str, element: Any) -> list[str]:
    name = element.tag.removeprefix(_WORD) if isinstance(element.tag, str) else ""
    if event == "start":
        return {"tab": ["\t"], "br": ["\n"], "cr": ["\n"]}.get(name, [])
    if name == "t":
        return [element.text or ""]
    return {"p": ["\n"], "tc": ["\t"], "tr": ["\n"]}.get(name, [])


def plain_or_html(content: bytes, *, main_text: bool) -> str:
    from workers.data.processing.html_text import html_to_text, is_html

    text = decoded(content)
    return html_to_text(text, main_text=main_text) if is_html(text) else text


def decoded(content: bytes) -> str:
    """By byte order mark, then UTF-8, then GB18030; what is none of them: UTF-8 with its errors marked."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("utf-8", "replace")

"""Text out of one document: PDF, DOCX, HTML, plain text. Runs in `reader_child`, never in the web or the pipeline itself.

Limits: bytes of a file, bytes that an archive member unpacks to, pages, characters of the result. Time and memory are
limited from outside, by whoever runs the child.
"""

import logging
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

MAX_FILE = 256 << 20
MAX_MEMBER = 64 << 20
MAX_TEXT = 2_000_000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


class Unreadable(Exception):
    """Why a document gives no text: a code (`broken`, `encrypted`, `too_large`, `unsupported`, `no_text`)."""


def read_document(path: Path, *, main_text: bool, maximum_pages: int) -> str:
    """The text of a file, recognised by its content. Raises Unreadable."""
    if path.stat().st_size > MAX_FILE:
        raise Unreadable("too_large")
    with path.open("rb") as file:
        start = file.read(4096)
    if start.lstrip()[:5] == b"%PDF-":
        text = pdf_text(path, maximum_pages)
    elif start[:4] == b"PK\x03\x04":
        text = docx_text(path)
    elif b"\x00" in start and start[:2] not in {b"\xff\xfe", b"\xfe\xff"}:
        raise Unreadable("unsupported")
    else:
        text = plain_or_html(path.read_bytes()[:MAX_MEMBER], main_text=main_text)
    text = text[:MAX_TEXT].replace("\x00", "").encode("utf-8", "ignore").decode().strip()
    if not text:
        raise Unreadable("no_text")
    return text


def pdf_text(path: Path, maximum_pages: int) -> str:
    """The pages that have a text layer, a blank line between; scanned pages have none."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    pages, length = [], 0
    try:
        reader = PdfReader(path, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted")
        for page in reader.pages[:maximum_pages]:
            pages.append(page.extract_text().strip())
            length += len(pages[-1])
            if length > MAX_TEXT:
                break
    except Unreadable:
        raise
    except MemoryError as error:
        raise Unreadable("too_large") from error
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError,
            NotImplementedError, AssertionError, ArithmeticError) as error:  # fmt: skip
        raise Unreadable("broken") from error
    return "\n\n".join(page for page in pages if page)


def docx_text(path: Path) -> str:
    """Paragraphs on lines, cells of a table row with a tab between. Documents with a DTD (entity bombs) are refused."""
    from lxml import etree

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "word/document.xml" not in names:
                raise Unreadable("unsupported")
            with archive.open("word/document.xml") as member:
                content = member.read(MAX_MEMBER + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Unreadable("broken") from error
    if len(content) > MAX_MEMBER:
        raise Unreadable("too_large")
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

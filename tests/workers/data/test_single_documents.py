"""A document alone is imported as it is: its words, its counts and the file; what means harm is refused with a sentence."""

import io
import zipfile
import zlib
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from tests.workers.data.processing.test_documents import BILLION, LETTER, PAGE, TEXT, docx, pdf
from workers.data.formats.base import Problem
from workers.data.importing import Imported, Importer, Settings, preview

CONTAINER = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfile full-path="OPS/book.opf"/></container>'
BOOK = 'xmlns="http://www.idpf.org/2007/opf"'
OUTSIDE = f'<package {BOOK}><item id="a" href="../../../etc/passwd"/><spine><itemref idref="a"/></spine></package>'


def book(chapters: list[str], spine: list[int] | None = None, opf: str = "") -> bytes:
    buffer = io.BytesIO()
    items = "".join(f'<item id="c{at}" href="text/c%20{at}.xhtml"/>' for at in range(len(chapters)))
    order = "".join(f'<itemref idref="c{at}"/>' for at in spine or range(len(chapters)))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OPS/book.opf", opf or '<package xmlns="http://www.idpf.org/2007/opf">'
                         f"<manifest>{items}</manifest><spine>{order}</spine></package>")  # fmt: skip
        for at, text in enumerate(chapters):
            archive.writestr(f"OPS/text/c {at}.xhtml", f"<!DOCTYPE html><html><body><p>{text}</p></body></html>")
    return buffer.getvalue()


def locked() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("The secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


GOOD = {
    "old.pdf": (pdf("The bridge is old", "Page two"), "The bridge is old\n\nPage two", {"pages": 2, "paragraphs": 2}),
    "letter.docx": (docx(LETTER), "第一段 and more\na\nb", {"paragraphs": 3}),
    "page.html": (PAGE.encode(), TEXT, {"paragraphs": 7}),
    "book.epub": (book(["第一章", "Chapter two"], [1, 0]), "Chapter two\n\n第一章", {"chapters": 2, "paragraphs": 2}),
}


@pytest.mark.parametrize("name", GOOD)
def test_document_alone_becomes_a_record_with_its_file(tmp_path: Path, name: str) -> None:
    """S6.1, S6.5: recognised without being told, looked at before anything is stored."""
    content, text, counts = GOOD[name]
    (tmp_path / name).write_bytes(content)
    shown = preview(tmp_path / name)
    assert (shown["format"], [record["text"] for record in shown["records"]], shown["errors"]) == ("document", [text], [])
    assert not (tmp_path / "media").exists()
    [item] = Importer(tmp_path / name, name, Settings(licence="CC0"), tmp_path / "media")
    assert isinstance(item, Imported)
    assert (item.record["id"], item.record["text"], item.record["extra"]) == (name, text, counts)
    assert (item.record["facets"]["source"], item.record["facets"]["licence"]) == (name, "CC0")
    [file] = item.record["media"]
    assert (tmp_path / "media" / file["sha256"][:2] / file["sha256"]).read_bytes() == content


HOSTILE = {
    "locked.pdf": (locked(), "encrypted"),
    "broken.pdf": (b"%PDF-1.4\nnothing that follows is a PDF", "broken"),
    "scanned.pdf": (pdf("x", compressed=zlib.compress(b"")), "no_text"),
    "entities.docx": (docx(BILLION), "broken"),
    "bomb.docx": (docx(" " * (65 << 20)), "too_large"),
    "sheet.docx": (docx(LETTER).replace(b"word/document.xml", b"cell/document.xml"), "unsupported"),
    "entities.epub": (book(["x"], opf='<!DOCTYPE x [<!ENTITY a "lol">]><package>&a;</package>'), "broken"),
    "outside.epub": (book(["x"], opf=OUTSIDE), "no_text"),
    "empty.html": (b"<!doctype html><html></html>", "no_text"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_document_is_told_and_nothing_is_kept(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    [item] = Importer(tmp_path / name, name, Settings(), tmp_path / "media")
    assert isinstance(item, Problem)
    assert item.error.code == f"record.document_{reason}"
    assert not (tmp_path / "media").exists()
    assert preview(tmp_path / name)["errors"][0]["message"] == item.error.message

"""Text extraction, and documents that mean harm: broken ones, bombs, loops. The job always goes on with the next record."""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.workers.data.processing.running import only, process, texts
from workers.data.processing.extraction import MediaFiles, Reader
from workers.data.processing.html_text import html_to_text, is_html

PAGE = (
    "<!DOCTYPE html><html><head><title>T</title><style>p {color: red}</style></head><body>"
    "<nav><a href='/'>Home</a><a href='/a'>About</a></nav><h1>桥</h1><p>The <b>old</b> bridge &amp; the river.</p>"
    "<ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table><pre>def f():\n    return 1</pre>"
    "<p style='display:none'>hidden</p><script>alert(1)</script><div><a>x</a><a>y</a><a>z</a></div></body></html>"
)
TEXT = "桥\n\nThe old bridge & the river.\n\n- one\n- two\n\na\tb\n\ndef f():\n    return 1"


def pdf(*pages: str, compressed: bytes | None = None) -> bytes:
    """A small PDF with a text layer; `compressed` replaces the first page's stream."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        content = zlib.compress(f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode())
        if compressed is not None and number == 0:
            content = compressed
        font = f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {font} >>".encode())
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(content), content))
    body, places = b"%PDF-1.4\n", []
    for number, thing in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, thing)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(body)
    return body + b"xref\n0 %d\n0000000000 65535 f \n%btrailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1, table, len(objects) + 1, start,
    )  # fmt: skip


def docx(xml: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", xml)
    return buffer.getvalue()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LETTER = (
    f"<w:document {W}><w:body><w:p><w:r><w:t>第一段</w:t></w:r><w:r><w:t> and more</w:t></w:r></w:p><w:tbl><w:tr>"
    "<w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>"
)
BILLION = f'<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "{"&a;" * 1000}">]><w:document {W}><w:p><w:t>&b;</w:t></w:p></w:document>'


@pytest.fixture(scope="module")
def reader() -> Any:
    made = Reader(20)
    yield made
    made.close()


def read(reader: Reader, folder: Path, content: bytes) -> dict[str, str]:
    path = folder / "document"
    path.write_bytes(content)
    return reader.ask(path=str(path), main_text=True, maximum_pages=50)


def test_page_becomes_its_words() -> None:
    assert is_html(PAGE)
    assert html_to_text(PAGE, main_text=True) == TEXT
    assert "About" in html_to_text(PAGE, main_text=False)


def test_text_about_tags_is_no_page(tmp_path: Path) -> None:
    """Only documents are taken for HTML, so that questions about code keep their code."""
    said = ["Use <b> for bold and <p> for paragraphs.", "if a < b and c > d: pass", "<think>I should add.</think> 4"]
    kept, reports = process(tmp_path, texts(*said, PAGE), only(extraction={}))
    assert [record["text"] for record in kept] == [*said, TEXT]
    assert reports["extraction"]["changes"] == {"html": 1}
    kept, _reports = process(tmp_path, texts("A <b>bold</b> word"), only(extraction={"html": "always"}))
    assert kept[0]["text"] == "A bold word"


def test_files_become_text_and_are_screened(tmp_path: Path) -> None:
    """Records that carry PDF, DOCX, HTML and GB18030 files; a French one is dropped by language only once it was read."""
    french = b"Le pont est dans la ville et il ne va pas avec les autres, que je vous dis."
    contents = [pdf("The bridge is old and it was built by the town", "Page two of it"), docx(LETTER), PAGE.encode(),
                "你好，世界".encode("gb18030"), french, b"\x89PNG\x00\x00 no"]  # fmt: skip
    strange = hashlib.sha256(b"of another workspace").hexdigest()
    (tmp_path / strange[:2]).mkdir()
    (tmp_path / strange[:2] / strange).write_bytes(b"of another workspace")
    records = []
    for index, content in enumerate(contents):
        digest = hashlib.sha256(content).hexdigest()
        (tmp_path / digest[:2]).mkdir(exist_ok=True)
        (tmp_path / digest[:2] / digest).write_bytes(content)
        records.append({"id": str(index), "media": [{"kind": "file", "sha256": digest, "name": f"file-{index}"}]})
    records.append({"id": "gone", "media": [{"kind": "file", "sha256": "f" * 64}]})
    records.append({"id": "evil", "media": [{"kind": "file", "sha256": "../../etc/passwd"}]})
    held = frozenset(item["sha256"] for record in records for item in record["media"])
    records.append({"id": "stolen", "media": [{"kind": "file", "sha256": strange}]})
    kept, reports = process(tmp_path, records, only(language={}, extraction={}), media=MediaFiles(tmp_path, held))
    assert [record["text"] for record in kept] == [
        "The bridge is old and it was built by the town\n\nPage two of it", "第一段 and more\na\nb", TEXT, "你好，世界",
    ]  # fmt: skip
    assert kept[0]["facets"] == {"source": "file-0", "language": "en"}
    assert reports["extraction"]["reasons"] == {"missing": 3, "other_language": 1, "unsupported": 1}


HOSTILE = {
    "not a PDF": (b"%PDF-1.4\nnothing that follows is a PDF", "broken"),
    "broken stream": (pdf("x", compressed=b"no flate at all"), "no_text"),
    "flate bomb": (pdf("x", compressed=zlib.compress(b"BT " * (60 << 20), 9)), ""),
    "entities": (docx(BILLION), "broken"),
    "unclosed": (docx("<w:document><unclosed>"), "broken"),
    "zip bomb": (docx(" " * (65 << 20)), "too_large"),
    "deep": (docx(f"<w:document {W}>" + "<w:p>" * 200_000), "broken"),
    "no archive": (b"PK\x03\x04 no archive", "broken"),
    "binary": (b"\x00" * 4000, "unsupported"),
    "nested": (b"<html>" + b"<div>" * 300_000 + b"x", "no_text"),
    "empty page": (b"<!doctype html><html></html>", "no_text"),
    "nothing": (b"", "no_text"),
}


@pytest.mark.parametrize(("content", "error"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_end_in_a_reason(reader: Reader, tmp_path: Path, content: bytes, error: str) -> None:
    answer = read(reader, tmp_path, content)
    assert answer.keys() == {"error"}
    assert not error or answer["error"] == error
    assert read(reader, tmp_path, b"still here")["text"] == "still here"


def test_document_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The child is stopped, which is what an endless document looks like from outside; the next one gets a new child."""
    import os
    import signal

    made = Reader(0.3)
    try:
        made.seconds = 20
        assert read(made, tmp_path, b"first")["text"] == "first"
        assert made._child
        os.kill(made._child.pid, signal.SIGSTOP)
        made.seconds = 0.3
        assert read(made, tmp_path, b"second") == {"error": "too_slow"}
        made.seconds = 20
        assert read(made, tmp_path, b"third")["text"] == "third"
        assert made._child
        made._child.kill()
        made._child.wait()
        assert read(made, tmp_path, b"fourth") == {"error": "broken"}
        assert read(made, tmp_path, b"fifth")["text"] == "fifth"
    finally:
        made.close()

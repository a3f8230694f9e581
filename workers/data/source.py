"""The bytes of an uploaded file as UTF-8, whatever their encoding: by line with a limit on length, or by chunk.

UTF-8 (with or without BOM), UTF-16 and UTF-32 by BOM, GB18030 when asked for or unmistakable; gzip is opened on the way.
Broken bytes stay broken in the line where they stand, so that only this line is refused.
"""

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from workers.spec.errors import UserError

MAX_LINE = 8 * 1024 * 1024
HEAD_BYTES = 256 * 1024
MAX_RATIO = 100
SMALL_ARCHIVE = 64 * 1024 * 1024
"""An archive may unpack to MAX_RATIO times its size, and to this much in any case; real text packs 3 to 20 times smaller."""
_CHUNK = 1 << 20
_KEPT_OF_LONG = 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class Line:
    """`content` without its line end, None when longer than MAX_LINE. `ended`: a line end follows; `carriage`: it is CR LF."""

    number: int
    content: bytes | None
    ended: bool
    head: bytes
    carriage: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """How to read a member of an archive, and how many bytes it unpacks to."""

    open: Callable[[], BinaryIO]
    size: int


class Source:
    """One file that can be read several times from its beginning."""

    def __init__(self, path: Path, encoding: str = "auto", member: "Member | None" = None) -> None:
        """`member`: the content is that of a member of an archive, and `path` only its name."""
        self.path = path
        self.position = 0
        """Bytes of the file read so far, for progress."""
        self._is_file = member is None
        self._open_plain: Callable[[], BinaryIO] = member.open if member else partial(_open_file, path)
        self.size = member.size if member else path.stat().st_size
        with self._open_plain() as file:
            self._gzip = file.read(2) == b"\x1f\x8b"
        raw = self._raw_head()
        self.encoding = detect_encoding(raw) if encoding == "auto" else encoding
        self.looks_like_gb18030 = self.encoding == "utf-8" and not _decodes(raw, "utf-8") and _decodes(raw, "gb18030")
        self.head = next(self._transcoded(iter([raw])), b"")
        if not self.head.strip():
            raise UserError("dataset.empty_file", "The file {file} is empty; choose another one.", file=path.name)
        self.is_whole = len(raw) < HEAD_BYTES
        self._start = (len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0), 0
        self.mark = self._start
        """Where `lines` is: bytes of the content that are read, and the number of the last line."""

    @property
    def can_go_on(self) -> bool:
        """Whether `lines` can begin at a mark: not within an archive or another encoding."""
        return self.encoding == "utf-8" and not self._gzip and self._is_file

    def go_on(self, mark: tuple[int, int]) -> None:
        """Let `lines` begin after what was read when the mark was taken."""
        self._start = self.mark = mark

    def _raw_head(self) -> bytes:
        with self._open_plain() as plain:
            raw = _read_up_to(gzip.GzipFile(fileobj=plain) if self._gzip else plain, HEAD_BYTES)  # type: ignore[arg-type]
        if not raw and self.size:
            raise self._broken_archive()
        return raw

    def chunks(self) -> Iterator[bytes]:
        """The content as UTF-8 without BOM; characters may be cut between two chunks."""
        with self._open_plain() as plain:
            file: BinaryIO = gzip.GzipFile(fileobj=plain) if self._gzip else plain  # type: ignore[assignment]
            if self._start[1]:
                plain.seek(self._start[0])
                yield from self._counted(file, plain)
                return
            yield from self._transcoded(self._counted(file, plain))

    def _counted(self, file: BinaryIO, plain: BinaryIO) -> Iterator[bytes]:
        limit = max(SMALL_ARCHIVE, MAX_RATIO * self.size)
        unpacked = 0
        try:
            while chunk := file.read(_CHUNK):
                self.position = plain.tell()
                unpacked += len(chunk)
                if unpacked > limit and self._gzip:
                    raise UserError(
                        "dataset.archive_too_large",
                        "The archive {file} unpacks to more than {times} times its size; unpack it and upload the file itself.",
                        file=self.path.name,
                        times=MAX_RATIO,
                    )
                yield chunk
        except BROKEN as error:
            raise self._broken_archive() from error

    def _broken_archive(self) -> UserError:
        return UserError("dataset.broken_archive", "The file {file} is not whole; upload it again.", file=self.path.name)

    def _transcoded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        if self.encoding == "utf-8":
            first = next(chunks, b"")
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from chunks
            return
        # surrogateescape keeps broken bytes (they are no valid UTF-8 afterwards and are refused with their line)
        errors = "surrogateescape" if self.encoding == "gb18030" else "surrogatepass"
        decoder = codecs.getincrementaldecoder(self.encoding)(errors)
        for chunk in chunks:
            try:
                yield decoder.decode(chunk).encode("utf-8", errors)
            except UnicodeError as error:  # no byte order mark, or numbers that are no characters
                raise self._wrong_encoding() from error
        try:
            yield decoder.decode(b"", final=True).encode("utf-8", errors)
        except UnicodeDecodeError:
            yield b"\xff"

    def _wrong_encoding(self) -> UserError:
        return UserError(
            "dataset.wrong_encoding",
            "The file {file} is not in {encoding}; choose another encoding, or let it be recognised.",
            file=self.path.name,
            encoding=self.encoding.upper(),
        )

    def lines(self) -> Iterator[Line]:
        """Lines of the content; `\\r\\n` ends a line too."""
        at, number = self.mark = self._start
        rest, cut = b"", 0
        too_long = False
        for chunk in self.chunks():
            *whole, rest_of_chunk = chunk.split(b"\n")
            for index, piece in enumerate(whole):
                content = rest + piece if index == 0 else piece
                number += 1
                at += len(content) + cut + 1
                self.mark = at, number
                yield _line(number, content, too_long, ended=True)
                too_long = False
                if index == 0:
                    rest, cut = b"", 0
            rest = rest + rest_of_chunk
            if len(rest) > MAX_LINE:
                cut += len(rest) - _KEPT_OF_LONG
                too_long, rest = True, rest[:_KEPT_OF_LONG]
        if rest or too_long:
            self.mark = at + len(rest) + cut, number + 1
            yield _line(number + 1, rest, too_long, ended=False)


def _open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def _line(number: int, content: bytes, too_long: bool, ended: bool) -> Line:
    if too_long or len(content) > MAX_LINE:
        return Line(number, None, ended, content[:800])
    bare = content.removesuffix(b"\r")
    return Line(number, bare, ended, content[:800], carriage=len(bare) < len(content))


def _read_up_to(file: BinaryIO, count: int) -> bytes:
    pieces, length = [], 0
    try:
        while length < count and (piece := file.read(count - length)):
            pieces.append(piece)
            length += len(piece)
    except BROKEN:
        pass  # reading the whole file tells it
    return b"".join(pieces)


def detect_encoding(head: bytes) -> str:
    """By BOM; else UTF-8, unless most of what is not ASCII is no UTF-8 and is common Chinese in GB18030."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    return "gb18030" if is_gb18030(head) else "utf-8"


def is_gb18030(head: bytes) -> bool:
    """Whether bytes that are no UTF-8 are unmistakably Chinese: nearly all pairs lie in the rows of GB 2312."""
    if _decodes(head, "utf-8") or not _decodes(head, "gb18030"):
        return False
    pairs = common = index = 0
    while index < len(head) - 1:
        if head[index] < 0x80:
            index += 1
            continue
        pairs += 1
        common += 0xA1 <= head[index] <= 0xF7 and head[index + 1] >= 0xA1
        index += 2
    return pairs > 0 and common >= 0.9 * pairs


def _decodes(head: bytes, encoding: str) -> bool:
    """Whether the bytes are of this encoding; the last character may be torn."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return True

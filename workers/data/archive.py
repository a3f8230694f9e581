"""A ZIP file of data and media that is read without trusting it: no member leaves it, links, or unpacks to a bomb."""

import contextlib
import posixpath
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from workers.data.formats.base import Problem, problem
from workers.data.source import SMALL_ARCHIVE
from workers.spec.errors import UserError

MAX_RATIO = 25
"""How many times its size an archive may unpack to (and to SMALL_ARCHIVE in any case): text packs 3 to 20 times smaller."""
MAX_MEMBERS = 500_000
PREVIEW_DIRECTORY = 8 << 20
"""Bytes of an archive's table of contents that a preview reads: some 80,000 files."""
PREVIEW_UNPACKED = 64 << 20
"""Bytes of a member that a preview unpacks where it must be whole to be read."""
_HIDDEN = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_ENCRYPTED, _IS_UTF8 = 0x1, 0x800


def too_large_to_show(name: str) -> UserError:
    return UserError(
        "dataset.too_large_to_show",
        "{file} is too large to be looked into while you wait; import it: the job shows its progress and what it cannot read.",
        file=name,
    )


def _directory_bytes(path: Path) -> int:
    """The size of the table of contents as the end of the archive gives it; huge for one that needs 64 bits (APPNOTE 4.3.16)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0


def is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class Archive:
    """The members of a ZIP file that can be trusted, by their names; `problems` tells of the others."""

    def __init__(self, path: Path, *, is_preview: bool = False) -> None:
        """`is_preview`: somebody waits for it, so what would take long is refused."""
        self.path, self.is_preview = path, is_preview
        if is_preview and _directory_bytes(path) > PREVIEW_DIRECTORY:
            raise too_large_to_show(path.name)
        self.problems: list[Problem] = []
        self._by_base: dict[str, list[str]] | None = None
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._broken() from error
        infos = self._zip.infolist()
        self._check_size(infos)
        self.members: dict[str, zipfile.ZipInfo] = {}
        for number, info in enumerate(infos, start=1):
            name = _decoded_name(info)
            if not info.is_dir() and (refusal := _refusal(info, name)):
                self.problems.append(problem(number, name, *refusal, name=name[:200]))
            elif not info.is_dir() and not _is_hidden(name):
                self.members[name] = info

    def _broken(self) -> UserError:
        return UserError("dataset.broken_archive", "The file {file} is not whole; upload it again.", file=self.path.name)

    def _check_size(self, infos: list[zipfile.ZipInfo]) -> None:
        if len(infos) > MAX_MEMBERS:
            raise UserError(
                "dataset.too_many_members", "The archive {file} has more than {limit} files; cut it into several.",
                file=self.path.name, limit=MAX_MEMBERS,
            )  # fmt: skip
        if sum(info.file_size for info in infos) > max(SMALL_ARCHIVE, MAX_RATIO * self.path.stat().st_size):
            raise UserError(
                "dataset.archive_too_large",
                "The archive {file} unpacks to more than {times} times its size; unpack it and upload the file itself.",
                file=self.path.name, times=MAX_RATIO,
            )  # fmt: skip

    def open(self, name: str) -> IO[bytes]:
        """The content of a member; never more than the size that the archive gives for it."""
        try:
            return self._zip.open(self.members[name])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise self._broken() from error

    def size(self, name: str) -> int:
        return self.members[name].file_size

    def packed_size(self, name: str) -> int:
        return self.members[name].compress_size

    def find(self, reference: str, near: str = "") -> str | None:
        """The member that a data file (`near`) means by a path: from its own folder, from the top, or by its last parts."""
        path = posixpath.normpath(reference.replace("\\", "/")).removeprefix("/")
        folder = posixpath.dirname(near)
        for candidate in (posixpath.normpath(posixpath.join(folder, path)), path, f"images/{path}"):
            if candidate in self.members:
                return candidate
        if self._by_base is None:
            self._by_base = {}
            for name in self.members:
                self._by_base.setdefault(posixpath.basename(name), []).append(name)
        same = self._by_base.get(posixpath.basename(path), [])
        ending = [name for name in same if name.endswith(f"/{path.removeprefix('../')}")]
        return ending[0] if ending else same[0] if len(same) == 1 else None

    def names(self, *suffixes: str) -> Iterator[str]:
        return (name for name in self.members if name.lower().endswith(suffixes))

    def head(self, name: str, count: int = 65536) -> bytes:
        with self.open(name) as file:
            return file.read(count)


def _decoded_name(info: zipfile.ZipInfo) -> str:
    """Names without the UTF-8 mark are UTF-8 all the same, or Chinese, on most machines of today."""
    if info.flag_bits & _IS_UTF8:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    readings = []
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            readings.append(raw.decode(encoding))
    chinese = [name for name in readings if all(char.isascii() or "\u4e00" <= char <= "\u9fff" for char in name)]
    return next(iter([*chinese, *readings]), info.filename)  # a few Chinese words are valid UTF-8 of letters by chance


def _refusal(info: zipfile.ZipInfo, name: str) -> tuple[str, str] | None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return "outside_archive", "The member «{name}» leads out of the archive and was left alone."
    if stat.S_ISLNK(info.external_attr >> 16):
        return "link_in_archive", "The member «{name}» is a link and was left alone."
    if info.flag_bits & _ENCRYPTED:
        return "encrypted_member", "The member «{name}» is encrypted; pack the files without a password."
    return None


def _is_hidden(name: str) -> bool:
    base = posixpath.basename(name)
    return name.startswith(_HIDDEN) or base in _HIDDEN or base.startswith("._")

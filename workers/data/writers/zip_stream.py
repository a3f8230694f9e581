"""A ZIP file as a stream of bytes: nothing of it is kept, however large it becomes."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

_PIECE = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)
"""The same version is always written as the same bytes."""


class _Outlet(io.RawIOBase):
    """What ZipFile writes to: not seekable, so that it never looks back."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._waiting.append(piece)
        return len(piece)

    def take(self) -> bytes:
        taken, self._waiting = b"".join(self._waiting), []
        return taken


class ZipStream:
    """Use as `yield from zip.add(…)` for every member, then `yield from zip.close()`."""

    def __init__(self) -> None:
        self._outlet = _Outlet()
        self._zip = zipfile.ZipFile(self._outlet, "w", zipfile.ZIP_STORED)
        self.names: set[str] = set()

    def add(self, name: str, pieces: Iterable[bytes], *, packed: bool = True) -> Iterator[bytes]:
        info = zipfile.ZipInfo(name, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        info.external_attr = 0o644 << 16
        self.names.add(name)
        with self._zip.open(info, "w", force_zip64=True) as member:
            waiting = 0
            for piece in pieces:
                member.write(piece)
                waiting += len(piece)
                if waiting >= _PIECE:
                    yield self._outlet.take()
                    waiting = 0
        yield self._outlet.take()

    def add_file(self, name: str, path: Path) -> Iterator[bytes]:
        """A file as it is; media do not get smaller by packing."""
        with path.open("rb") as file:
            yield from self.add(name, blocks(file), packed=False)

    def close(self) -> Iterator[bytes]:
        self._zip.close()
        yield self._outlet.take()


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_PIECE):
        yield block

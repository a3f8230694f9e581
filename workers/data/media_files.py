"""Files of pictures, sound and film: what kind they are, how large or long, and where an import puts them."""

import base64
import binascii
import contextlib
import hashlib
import mimetypes
import struct
import uuid
import warnings
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from workers.data.formats.base import content_error

KINDS = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg"), "image"),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"), "audio"),
    **dict.fromkeys((".mp4", ".webm", ".mov", ".avi", ".mkv", ".m4v"), "video"),
}
DOCUMENTS = (".pdf", ".docx", ".epub", ".html", ".htm")
"""Kept as files; the processing of a version turns them into text."""
_CHUNK = 1 << 20
_QUARTER_TURNS = (5, 6, 7, 8)
_PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_FILM = (".mp4", ".m4v", ".mov", ".m4a")


def kind_of(name: str) -> str | None:
    """image, audio or video by the name's ending; None for what is none of them."""
    return KINDS.get(PurePosixPath(name.lower()).suffix)


def is_document(name: str) -> bool:
    return name.lower().endswith(DOCUMENTS)


@dataclass(frozen=True, slots=True)
class Measured:
    """Sizes as the picture is seen; `orientation` is what EXIF says of the stored one (1: as it is)."""

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    orientation: int = 1

    @property
    def stored_size(self) -> tuple[int | None, int | None]:
        return (self.height, self.width) if self.orientation in _QUARTER_TURNS else (self.width, self.height)


def measure(file: IO[bytes], name: str, whole: bool = True) -> Measured:
    """What the file tells of itself (`whole`: its end may be read, too). Raises UserError for a picture that is none."""
    kind = kind_of(name)
    suffix = PurePosixPath(name.lower()).suffix
    if kind == "image" and suffix != ".svg":
        return _measure_image(file, name)
    if suffix == ".wav":
        return Measured(duration_ms=_wave_duration(file))
    if suffix == ".flac":
        return Measured(duration_ms=_flac_duration(file))
    if suffix in _FILM and whole:
        return Measured(duration_ms=_film_duration(file))
    return Measured()


def _measure_image(file: IO[bytes], name: str) -> Measured:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_PICTURES) as image:
                width, height = image.size
                orientation = image.getexif().get(274, 1)
    except Image.DecompressionBombError as error:
        raise content_error("huge_picture", "The picture «{name}» has too many pixels.", name=name[:200]) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error) as error:
        raise content_error("broken_picture", "The picture «{name}» cannot be read.", name=name[:200]) from error
    orientation = orientation if orientation in range(1, 9) else 1
    return Measured(*((height, width) if orientation in _QUARTER_TURNS else (width, height)), orientation=orientation)


def _wave_duration(file: IO[bytes]) -> int | None:
    try:
        with wave.open(file, "rb") as sound:
            return round(1000 * sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def _flac_duration(file: IO[bytes]) -> int | None:
    """From STREAMINFO: 20 bits of sample rate, …, 36 bits of samples (the FLAC format, section METADATA_BLOCK_STREAMINFO)."""
    head = file.read(26)
    if len(head) < 26 or head[:4] != b"fLaC":
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return round(1000 * samples / rate) if rate and samples else None


def _film_duration(file: IO[bytes]) -> int | None:
    """From the movie header of an MP4 or QuickTime file (ISO/IEC 14496-12, boxes `moov` and `mvhd`)."""
    inside, at = 0, 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        start = 8
        if size == 1 and len(head) == 16:
            size, start = int.from_bytes(head[8:16], "big"), 16
        if kind == b"mvhd":
            return _movie_header(file, at + start)
        if kind == b"moov" and not inside:
            inside, at = 1, at + start
        elif size < 8:
            return None
        else:
            at += size
    return None


def _movie_header(file: IO[bytes], at: int) -> int | None:
    """Version 0 has times of four bytes, version 1 of eight."""
    file.seek(at)
    body = file.read(32)
    if len(body) < 32:
        return None
    long = body[0] == 1
    scale = int.from_bytes(body[20:24] if long else body[12:16], "big")
    length = int.from_bytes(body[24:32] if long else body[16:20], "big")
    return round(1000 * length / scale) if scale else None


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was taken in: what `workers.spec.record.Media` says of it, and its measures."""

    fields: Mapping[str, Any]
    measured: Measured


class MediaSink:
    """Where media go: below `folder` by their SHA-256. Without a folder they are only measured (a preview)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.is_passing = False
        """Nothing is taken in: the files of rows that were imported before an interruption lie there already."""

    def take(self, file: IO[bytes], name: str) -> Stored:
        if self.is_passing:
            return Stored({}, Measured())
        if self.folder is None:
            measured = measure(file, name, whole=False)
            return Stored(_fields(measured), measured)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            digest, size = _copy(file, temporary)
            with temporary.open("rb") as copy:
                measured = measure(copy, name)
            target = self.folder / digest[:2] / digest
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return Stored({"sha256": digest, "bytes": size, **_fields(measured)}, measured)

    def take_data_url(self, url: str, name: str) -> Stored:
        """A file that stands in the record itself as `data:image/png;base64,…`."""
        import io

        head, _, body = url.partition(",")
        try:
            content = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
        except (binascii.Error, ValueError) as error:
            raise content_error("bad_media", "A file of the record is neither a path nor an object.") from error
        return self.take(io.BytesIO(content), name or f"file{mimetypes.guess_extension(head[5:].split(';')[0]) or ''}")


def _copy(file: IO[bytes], target: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            copy.write(chunk)
    return digest.hexdigest(), size


def _fields(measured: Measured) -> dict[str, Any]:
    values = {"width": measured.width, "height": measured.height, "duration_ms": measured.duration_ms}
    return {name: value for name, value in values.items() if value is not None}


def forget_parts(folder: Path) -> None:
    """Forget the parts that a killed import left."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()

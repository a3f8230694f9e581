"""WebDataset: a tar file whose neighbours of one name are a sample: `7.jpg`, `7.json`, `7.txt` (caption), `7.cls` (class)."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from workers.data.archive import MAX_RATIO
from workers.data.formats import json_values
from workers.data.formats.base import Problem, content_error
from workers.data.formats.canonical import Canonical
from workers.data.media_files import MediaSink, Stored, kind_of
from workers.data.readings import Content, Reading, head_of
from workers.data.source import BROKEN, MAX_LINE, SMALL_ARCHIVE
from workers.spec.errors import UserError

_WORDS = ("json", "txt", "cls", "caption", "text")


def is_tar(path: Path) -> bool:
    """By the mark in its first header; packed ones are looked into."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            head = (gzip.GzipFile(fileobj=file) if packed else file).read(512)
        except BROKEN:
            return False
    return head[257:262] == b"ustar"


@dataclass
class _Sample:
    """The neighbours of one name: their words by ending, their files in order, and what was wrong with one of them."""

    key: str
    line: int
    words: dict[str, bytes] = field(default_factory=dict)
    files: list[tuple[str, str, Stored]] = field(default_factory=list)
    error: UserError | None = None


class WebDatasetReading(Reading):
    format = "webdataset"
    container = "tar"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._read = 0

    @property
    def size(self) -> int:
        return max(1, self._path.stat().st_size)

    @property
    def position(self) -> int:
        return min(self._read, self.size)

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        sample: _Sample | None = None
        torn: UserError | None = None
        with self._path.open("rb") as file:
            try:
                for number, (info, content) in enumerate(self._members(file), start=1):
                    key, ending = _parts(info.name)
                    if sample is not None and sample.key != key:
                        yield _told(sample)
                        sample = None
                    sample = sample or _Sample(key, number)
                    try:
                        _take(sample, info, ending, _Whole(content, info), sink)
                    except UserError as error:
                        sample.error = error
            except _TORN:
                torn = self._broken()
        if sample is not None:
            yield _told(sample)
        if torn is not None:
            yield Problem(1, torn, self._path.name)

    def _broken(self) -> UserError:
        return UserError("dataset.broken_archive", "The file {file} is not whole; upload it again.", file=self._path.name)

    def _too_large(self) -> UserError:
        return UserError(
            "dataset.archive_too_large",
            "The archive {file} unpacks to more than {times} times its size; unpack it and upload the file itself.",
            file=self._path.name,
            times=MAX_RATIO,
        )

    def _members(self, file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
        """Plain files one after the other; nothing is ever unpacked under its own name."""
        limit, unpacked = max(SMALL_ARCHIVE, MAX_RATIO * self.size), 0
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for info in archive:
                self._read = file.tell()
                unpacked += info.size
                if unpacked > limit:
                    raise self._too_large()
                if info.isreg() and not PurePosixPath(info.name).name.startswith("."):
                    yield info, cast(IO[bytes], archive.extractfile(info))


_TORN = (tarfile.TarError, *BROKEN)


class _Whole(io.RawIOBase):
    """A member that says when it ends too early, which a torn tar file does not."""

    def __init__(self, content: IO[bytes], info: tarfile.TarInfo) -> None:
        self._content, self._info, self._done = content, info, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            piece = self._content.read(size)
        except _TORN:
            piece = b""
        self._done += len(piece)
        if self._done < self._info.size and (size < 0 or not piece):
            raise content_error("broken_member", "The file «{name}» of the archive is not whole.", name=self._info.name[:200])
        return piece


def _parts(name: str) -> tuple[str, str]:
    """`a/7.seg.png` → (`a/7`, `seg.png`): the name goes up to the first dot."""
    folder, _, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}/{key}".lstrip("/"), ending.lower()


def _take(sample: _Sample, info: tarfile.TarInfo, ending: str, content: _Whole, sink: MediaSink) -> None:
    kind = kind_of(info.name)
    if kind:
        sample.files.append((kind, info.name, sink.take(cast(IO[bytes], content), info.name)))
    elif ending in _WORDS:
        if info.size > MAX_LINE:
            raise content_error(
                "line_too_long", "The record is longer than {limit} MB; split it.", limit=MAX_LINE // 1024 // 1024
            )
        sample.words[ending] = content.read()
    else:
        raise content_error("unknown_member", "The member «{name}» is neither words nor media.", name=info.name[:200])


def _told(sample: _Sample) -> Content | Problem:
    try:
        if sample.error is not None:
            raise sample.error
        fields = _fields(sample)
    except UserError as error:
        return Problem(sample.line, error, sample.key[:200])
    stored = {index: file for index, (_kind, _name, file) in enumerate(sample.files)}
    if "sha256" in json.dumps(fields.get("media") or []):
        stored = _by_digest(fields["media"], sample)
    return Content(sample.line, head_of(fields), fields, "", stored)


def _by_digest(media: list[dict[str, Any]], sample: _Sample) -> dict[int, Stored]:
    """Our own export names its files by their place among the record's."""
    places = {name.rpartition("/")[2].split(".")[1]: file for _kind, name, file in sample.files}
    return {index: places[str(index)] for index in range(len(media)) if str(index) in places}


def _fields(sample: _Sample) -> dict[str, Any]:
    given = _json(sample.words["json"]) if "json" in sample.words else {}
    if isinstance(given, dict) and Canonical().recognises(given):
        return dict(given)
    fields: dict[str, Any] = {"id": sample.key}
    words = next((_text(sample.words[name]) for name in ("txt", "text", "caption") if name in sample.words), "")
    extra = dict(given) if isinstance(given, dict) else {"json": given}
    words = words or str(extra.pop("caption", extra.pop("text", "")) or "")
    if words:
        fields["text"] = words
    if "cls" in sample.words:
        fields["label"] = _text(sample.words["cls"])
    if sample.files:
        fields["media"] = [{"kind": kind, "name": name} for kind, name, _stored in sample.files]
        fields["modality"] = sample.files[0][0]
    elif not words:
        raise content_error("no_content", "The text is empty.")
    return {**fields, "extra": extra} if extra else fields


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise content_error("encoding", "The record holds bytes that are no valid UTF-8; save the file as UTF-8.") from error


def _json(content: bytes) -> Any:
    try:
        return json_values.parse(_text(content))
    except json.JSONDecodeError as error:
        raise content_error("broken_json", "The object is no valid JSON: {detail}.", detail=error.msg) from error

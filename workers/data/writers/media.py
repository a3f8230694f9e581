"""Records with their files as a ZIP: our own, LLaMA-Factory's, and an ASR manifest with its sound."""

import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from workers.data.formats.base import Loss
from workers.data.records import canonical_json, record_line, slim
from workers.data.writers.base import Counts, Files, Row, left_out, tags
from workers.data.writers.conversations import conversation_losses, sharegpt_rows
from workers.data.writers.zip_stream import ZipStream, blocks
from workers.spec.record import Media, Record


def member_name(item: Media) -> str:
    """`media/<sha256>` with the ending of the file's name."""
    suffix = PurePosixPath(item.name or "").suffix
    return f"media/{item.sha256}{suffix}"


def _files_of(record: Record, archive: ZipStream, files: Files) -> Iterator[bytes]:
    for item in record.media or []:
        path = files(item.sha256) if item.sha256 else None
        if path is not None and member_name(item) not in archive.names:
            yield from archive.add_file(member_name(item), path)


def _with_files(records: Iterable[Record], files: Files, rows: Callable[[Record], Iterable[Row]], name: str,
                *, as_list: bool = False, also: dict[str, bytes] | None = None) -> Iterator[bytes]:  # fmt: skip
    """The rows in one member, behind the files that they name."""
    archive = ZipStream()
    with tempfile.TemporaryFile() as written:
        separator = b"[\n" if as_list else b""
        for record in records:
            for row in rows(record):
                written.write(separator + canonical_json(row) + (b"" if as_list else b"\n"))
                separator = b",\n" if as_list else b""
            yield from _files_of(record, archive, files)
        if as_list:
            written.write(b"[]\n" if separator == b"[\n" else b"\n]\n")
        written.seek(0)
        yield from archive.add(name, blocks(written))
    for other, content in (also or {}).items():
        yield from archive.add(other, [content])
    yield from archive.close()


def own(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    return _with_files(records, files, lambda record: [slim(record.model_dump(mode="json"))], "records.jsonl")


def llamafactory(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    """`data.json` in ShareGPT's shape, and the `dataset_info.json` that LLaMA-Factory looks it up in."""
    columns = {"messages": "conversations", "tools": "tools", "chosen": "chosen", "rejected": "rejected", "kto_tag": "kto_tag",
               "images": "images", "videos": "videos", "audios": "audios"}  # fmt: skip
    info = {"data": {"file_name": "data.json", "formatting": "sharegpt", "columns": columns}}
    return _with_files(
        records, files, _llamafactory_rows, "data.json", as_list=True, also={"dataset_info.json": canonical_json(info)}
    )


def _llamafactory_rows(record: Record) -> Iterator[Row]:
    """Files by their path in the archive."""
    for row in sharegpt_rows(record):
        for kind in ("image", "audio", "video"):
            items = [item for item in record.media or [] if item.kind == kind]
            if items:
                row[f"{kind}s"] = [member_name(item) if item.sha256 else item.name or item.url for item in items]
        yield row


def webdataset(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    """A tar file: each record as JSON, followed by its stored files, numbered in their order."""
    for number, record in enumerate(records):
        key = f"{number:09d}"
        yield from _tar_member(f"{key}.json", [line := record_line(slim(record.model_dump(mode="json")))], len(line))
        for index, item in enumerate(record.media or []):
            path = files(item.sha256) if item.sha256 else None
            if path is not None:
                suffix = PurePosixPath(item.name or "").suffix or f".{_ENDINGS[item.kind]}"
                with path.open("rb") as file:
                    yield from _tar_member(f"{key}.{index}{suffix}", blocks(file), path.stat().st_size)
    yield b"\0" * 1024


_ENDINGS = {"image": "jpg", "audio": "wav", "video": "mp4", "file": "bin"}


def _tar_member(name: str, pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Header, content, and zeros up to a multiple of 512 bytes."""
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf()
    yield from pieces
    yield b"\0" * (-size % 512)


def asr(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    return _with_files(records, files, asr_rows, "manifest.jsonl")


def asr_rows(record: Record) -> Iterator[Row]:
    """A row for each record with its text; without one, a row for each of its segments that has words."""
    item = sound_of(record)
    if item is None:
        return
    segments = next((found.value for found in record.annotations or [] if found.type == "segments"), None)
    label: Row = {} if record.label is None else {"label": record.label}
    row: Row = {"audio_filepath": member_name(item) if item.sha256 else item.name or item.url}
    seconds: Row = {} if item.duration_ms is None else {"duration": item.duration_ms / 1000}
    spoken = [segment for segment in segments or [] if segment.get("text")]
    if record.text is not None or not spoken:
        others = [found.model_dump() for found in record.annotations or [] if found.type != "segments"]
        kept: Row = {"segments": segments} if segments else {}
        yield {**row, **seconds, "text": record.text or "", **kept, **label, **({"annotations": others} if others else {}),
               **tags(record)}  # fmt: skip
        return
    for segment in spoken:
        start, end = segment["start_ms"], segment["end_ms"]
        part: dict[str, Any] = {"offset": start / 1000, "duration": (end - start) / 1000, "text": segment["text"]}
        yield {**row, **part, **label, **tags(record), "id": f"{record.id}:{segment['id']}"}


def sound_of(record: Record) -> Media | None:
    return next((item for item in record.media or [] if item.kind == "audio"), None)


def media_losses(format: str, counts: Counts) -> Iterator[Loss]:
    missing = counts.field("media") - counts.feature("stored_media")
    if format == "zip":
        yield left_out("no_media", "{count} records have no files; JSON Lines says all of them.",
                       0 if counts.field("media") else counts.total)  # fmt: skip
    elif format == "webdataset":
        pass
    elif format == "asr":
        sound = counts.feature("sound")
        yield left_out("no_sound", "{count} records have no sound and are left out.", counts.total - sound)
        yield Loss("segment_rows", "{count} recordings become a row for each of their spoken segments.",
                   counts.feature("spoken_segments"))  # fmt: skip
        yield Loss("sound_names", "{count} recordings get other file names.", counts.feature("stored_sound"))
        return
    else:
        yield from conversation_losses("sharegpt", counts)
        yield Loss("media_names", "{count} records keep of their files only the content.", counts.field("media"))
    yield Loss("no_stored_file", "The files of {count} records are not stored here and are missing in the archive.", missing)

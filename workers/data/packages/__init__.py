"""Archives: what kind of data set lies in one is told by its members' names and beginnings."""

from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from workers.data.archive import Archive
from workers.data.media_files import is_document, kind_of
from workers.data.packages import coco, tables, yolo
from workers.data.packages.folder import FolderReading
from workers.data.packages.members import DATA_SUFFIXES, MembersReading
from workers.data.readings import FileReading, Reading, Settings
from workers.data.source import Member, Source
from workers.spec.errors import UserError

LOOKED_AT = 200
"""How many data files of an archive are looked into to tell its kind."""


def open_source(source: Source, name: str, settings: Settings) -> Reading:
    """A file that is no archive, or a member of one."""
    if settings.format == "coco" or (settings.format == "auto" and coco.recognises(source.head)):
        return coco.CocoReading(source)
    return FileReading(source, name, settings)


def member_source(archive: Archive, name: str, encoding: str = "auto") -> Source:
    member = Member(lambda: cast(BinaryIO, archive.open(name)), archive.size(name))
    return Source(Path(PurePosixPath(name).name), encoding, member)


def open_archive(archive: Archive, settings: Settings) -> Reading:
    """YOLO by its labels; else the data files that lie in it; else its media as they are."""
    media = any(kind_of(name) or is_document(name) for name in archive.members)
    if settings.format == "yolo" or (settings.format == "auto" and media and yolo.recognises(archive)):
        return yolo.YoloReading(archive)
    data = [] if settings.format == "folder" else _data_files(archive, media)
    if data:
        return MembersReading(archive, data, settings)
    if media:
        return FolderReading(archive)
    raise UserError(
        "dataset.empty_archive", "The archive {file} holds no data file and no media that are known; choose another one.",
        file=archive.path.name,
    )  # fmt: skip


def _data_files(archive: Archive, media: bool) -> list[str]:
    """Sorted by name. Words beside media (`1.txt` beside `1.jpg`) are captions, no data."""
    found = sorted(name for name in archive.names(*DATA_SUFFIXES) if not _says_about(name))
    if columns := [name for name in found if name.lower().endswith(tables.SUFFIXES)]:
        return columns  # a folder of Hugging Face `datasets`: other files only tell about it
    if media:
        stems = {str(PurePosixPath(name).with_suffix("")) for name in archive.members if kind_of(name)}
        found = [name for name in found if not name.lower().endswith((".txt", ".md")) or _stem(name) not in stems]
        if all(name.lower().endswith((".txt", ".md")) for name in found):
            return []
    return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _says_about(name: str) -> bool:
    base = PurePosixPath(name).name.lower()
    return base.startswith(("readme", "license", "licence", "cache-", ".")) or base in (
        "dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json",
    )  # fmt: skip

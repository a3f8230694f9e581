"""A text file, alone or as a member of an archive."""

from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from workers.data.archive import Archive
from workers.data.packages import coco
from workers.data.readings import FileReading, Reading, Settings
from workers.data.source import Member, Source


def open_source(source: Source, name: str, settings: Settings) -> Reading:
    """A file that is no archive, or a member of one."""
    if settings.format == "coco" or (settings.format == "auto" and coco.recognises(source.head)):
        return coco.CocoReading(source)
    return FileReading(source, name, settings)


def member_source(archive: Archive, name: str, encoding: str = "auto") -> Source:
    member = Member(lambda: cast(BinaryIO, archive.open(name)), archive.size(name))
    return Source(Path(PurePosixPath(name).name), encoding, member)

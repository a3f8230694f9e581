"""What a file is read as: the content tells its kind, an archive's its members' names and beginnings."""

from pathlib import Path, PurePosixPath

from workers.data.archive import Archive, is_zip
from workers.data.media_files import is_document, kind_of
from workers.data.packages import tables, yolo
from workers.data.packages.folder import FolderReading
from workers.data.packages.members import DATA_SUFFIXES, MembersReading
from workers.data.packages.plain import open_source
from workers.data.packages.single_document import DocumentReading, is_single_document
from workers.data.packages.webdataset import WebDatasetReading, is_tar
from workers.data.readings import Reading, Settings
from workers.data.source import Source
from workers.spec.errors import UserError


def open_reading(path: Path, name: str, settings: Settings, *, is_preview: bool = False) -> Reading:
    """By content: an archive, or a file of text. `is_preview`: what would take long is refused."""
    if settings.format == "document" or (settings.format == "auto" and is_single_document(path, name)):
        return DocumentReading(path, name)
    if is_zip(path):
        return open_archive(Archive(path, is_preview=is_preview), settings)
    if is_tar(path):
        return WebDatasetReading(path)
    if tables.is_table(path):
        return tables.open_path(path, name, settings)
    return open_source(Source(path, settings.encoding), name, settings)


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

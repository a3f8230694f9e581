"""An archive of media or documents alone: each file a record; its folder is its label, a text of the same name its caption."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from workers.data.archive import Archive
from workers.data.formats.base import Problem
from workers.data.media_files import MediaSink, is_document, kind_of
from workers.data.readings import Content, Reading
from workers.data.source import MAX_LINE

SPLITS = {"train": "train", "training": "train", "test": "test", "val": "validation", "valid": "validation",
          "validation": "validation", "dev": "validation", "eval": "validation"}  # fmt: skip


def split_of(name: str) -> str | None:
    """The part of a data set that a path names: by a folder, or as the first word of the file."""
    path = PurePosixPath(name.lower())
    words = [*path.parts[:-1], path.name.split("-")[0].split(".")[0]]
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)


def files_of(archive: Archive) -> list[str]:
    """The media; where there are none, the documents, among them texts."""
    media = [name for name in archive.members if kind_of(name)]
    return media or [name for name in archive.members if is_document(name) or name.lower().endswith((".txt", ".md"))]


class FolderReading(Reading):
    format = "folder"
    container = "zip"

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self.archive = archive
        self._names = sorted(files_of(archive))
        self._done = 0
        folders = [PurePosixPath(name).parts[:-1] for name in self._names]
        self._common = 0
        while folders and all(len(parts) > self._common for parts in folders) and (
            len({parts[self._common] for parts in folders}) == 1 and folders[0][self._common].lower() not in SPLITS
        ):  # fmt: skip
            self._common += 1
        self._is_labelled = len({parts[-1] for parts in map(self._below, self._names) if parts}) > 1

    @property
    def size(self) -> int:
        return max(1, len(self._names))

    @property
    def position(self) -> int:
        return self._done

    def _below(self, name: str) -> list[str]:
        """The folders of a file below those that all share, without the one that names its part (train, test)."""
        parts = list(PurePosixPath(name).parts[self._common : -1])
        return parts[1:] if parts and parts[0].lower() in SPLITS else parts

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        assert self.archive is not None
        yield from self.archive.problems
        for number, name in enumerate(self._names, start=1):
            self._done = number
            yield Content(number, name[:200], self._fields(name), name)

    def _fields(self, name: str) -> dict[str, Any]:
        assert self.archive is not None
        kind = kind_of(name) or "file"
        modality = "text" if kind == "file" else kind
        shown = "/".join(PurePosixPath(name).parts[self._common :])
        fields: dict[str, Any] = {"id": shown, "modality": modality, "media": [{"kind": kind, "name": shown}]}
        below = self._below(name)
        if below and self._is_labelled:
            fields["label"] = below[-1]
        first = PurePosixPath(shown).parts[0].lower()
        if first in SPLITS and "/" in shown:
            fields["extra"] = {"split": SPLITS[first]}
        caption = str(PurePosixPath(name).with_suffix(".txt"))
        if caption != name and caption in self.archive.members and self.archive.size(caption) <= MAX_LINE:
            text = self.archive.head(caption, MAX_LINE).decode("utf-8", "replace").strip()
            if text:
                fields["text"] = text
        return fields

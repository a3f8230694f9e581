"""YOLO: a text file beside each picture, its lines `class x y w h` (middle, size) or `class x1 y1 x2 y2 …`, in parts of one."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from workers.data.archive import Archive
from workers.data.formats.base import Problem, content_error
from workers.data.formats.regions import annotation, box, polygon
from workers.data.media_files import MediaSink, Stored, kind_of
from workers.data.packages.folder import SPLITS
from workers.data.readings import Content, Reading
from workers.data.source import BROKEN, MAX_LINE
from workers.spec.errors import UserError

_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "_darknet.labels")
_LINE = re.compile(rb"\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*(\n|\r|$)")


def recognises(archive: Archive) -> bool:
    """Label files of numbers beside pictures, or below `labels` as the pictures are below `images`."""
    pairs = [label_file(archive, name) for name in archive.members if kind_of(name) == "image"]
    labels = [name for name in pairs if name][:20]
    return any(_LINE.match(archive.head(name, 4096)) for name in labels)


def label_file(archive: Archive, picture: str) -> str | None:
    path = PurePosixPath(picture).with_suffix(".txt")
    parts = list(path.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    for index in places:
        candidate = "/".join([*parts[:index], "labels", *parts[index + 1 :]])
        if candidate in archive.members:
            return candidate
    return str(path) if str(path) in archive.members else None


class YoloReading(Reading):
    format = "yolo"
    container = "zip"

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self.archive = archive
        self._pictures = sorted(name for name in archive.members if kind_of(name) == "image")
        self._labels = _class_names(archive)
        self._done = 0

    @property
    def size(self) -> int:
        return max(1, len(self._pictures))

    @property
    def position(self) -> int:
        return self._done

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        assert self.archive is not None
        yield from self.archive.problems
        for number, name in enumerate(self._pictures, start=1):
            self._done = number
            try:
                yield self._content(number, name, sink)
            except UserError as error:
                yield Problem(number, error, name[:200])

    def _content(self, number: int, name: str, sink: MediaSink) -> Content:
        assert self.archive is not None
        try:
            with self.archive.open(name) as file:
                stored = sink.take(file, name)
        except BROKEN as error:
            raise content_error("broken_member", "The file «{name}» of the archive is not whole.", name=name[:200]) from error
        shown = name.split("images/", 1)[-1] if name.startswith("images/") or "/images/" in name else name
        fields: dict[str, Any] = {"id": str(PurePosixPath(shown).with_suffix("")), "modality": "image"}
        fields["media"] = [{"kind": "image", "name": shown}]
        part = next((SPLITS[part] for part in PurePosixPath(name).parts[:-1] if part.lower() in SPLITS), None)
        if part:
            fields["extra"] = {"split": part}
        labels = label_file(self.archive, name)
        if labels:
            fields["annotations"] = [self._annotation(labels, stored)]
        return Content(number, name[:200], fields, name, {0: stored})

    def _annotation(self, labels: str, stored: Stored) -> dict[str, Any]:
        assert self.archive is not None
        width, height = stored.measured.width or 1, stored.measured.height or 1
        lines = self.archive.head(labels, MAX_LINE).decode("utf-8", "replace").splitlines()
        regions = [
            self._region(index, line.split(), width, height) for index, line in enumerate(filter(str.strip, lines), start=1)
        ]
        return annotation(regions, width, height)

    def _region(self, number: int, cells: list[str], width: int, height: int) -> dict[str, Any]:
        try:
            index, values = int(float(cells[0])), [float(cell) for cell in cells[1:]]
        except ValueError as error:
            raise content_error("bad_label_line", "Line {line} of the label file is no row of numbers.", line=number) from error
        label = self._labels.get(index, str(index))
        if len(values) in (4, 5):
            x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
            return box(number, label, x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if len(values) < 6 or len(values) % 2:
            raise content_error("bad_label_line", "Line {line} of the label file is no row of numbers.", line=number)
        return polygon(number, label, [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True)])


def _class_names(archive: Archive) -> dict[int, str]:
    name = next((name for base in _NAMES for name in sorted(archive.members) if PurePosixPath(name).name == base), None)
    if name is None:
        return {}
    text = archive.head(name, MAX_LINE).decode("utf-8", "replace")
    if not name.endswith(".yaml"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError("dataset.broken_yaml", "The file {file} is no valid YAML; mend it.", file=name) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        return {int(index): str(label) for index, label in names.items() if str(index).isdecimal()}
    return dict(enumerate(map(str, names))) if isinstance(names, list) else {}

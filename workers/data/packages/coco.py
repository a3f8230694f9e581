"""COCO: one JSON object with `images`, `annotations` and `categories`, joined through a temporary table on the disk."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import Any

from workers.data.formats.base import Problem, problem
from workers.data.formats.json_document import Reader, elements
from workers.data.formats.regions import annotation, box, is_rectangle, polygon, put_back
from workers.data.formats.turns import OURS
from workers.data.media_files import MediaSink
from workers.data.readings import Content, Reading
from workers.data.source import Source
from workers.spec.errors import UserError

PREVIEW_BYTES = 16 * 1024 * 1024
"""How far a preview reads: its labels are those that come so early."""


def recognises(head: bytes) -> bool:
    """An object that soon names pictures with their file names, or labels with their picture."""
    start = head[:65536]
    if not start.lstrip().startswith(b"{") or b'"messages"' in start or b'"conversations"' in start:
        return False
    pictures = b'"images"' in start and b'"file_name"' in start and b'"id"' in start
    return pictures or (b'"annotations"' in start and b'"image_id"' in start)


class CocoReading(Reading):
    format = "coco"
    container = "json"

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.encoding = source.encoding
        self.columns = ["images", "annotations", "categories"]

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def position(self) -> int:
        return self.source.position

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        with closing(sqlite3.connect("")) as table:  # a temporary file that is gone when it is closed
            table.execute("create table label (picture text, body text)")
            table.execute("create table picture (id text, line integer, body text)")
            categories: dict[str, str] = {}
            yield from _read(self.source, table, categories, PREVIEW_BYTES if sink.folder is None else None)
            table.execute("create index by_picture on label (picture)")
            for picture, line, body in table.execute("select id, line, body from picture order by rowid"):
                labels = table.execute("select body from label where picture = ? order by rowid", (picture,))
                try:
                    yield Content(line, body[:200], _fields(json.loads(body), [json.loads(row[0]) for row in labels], categories))
                except UserError as error:
                    yield Problem(line, error, body[:200])
            lost = table.execute("select count(*) from label where picture not in (select id from picture)").fetchone()[0]
            if lost and sink.folder is not None:
                yield problem(
                    1, "annotations", "lost_labels", "{count} labels belong to pictures that are not listed.", count=lost
                )


def _read(source: Source, table: sqlite3.Connection, categories: dict[str, str], limit: int | None) -> Iterator[Problem]:
    """Fill the tables, list by list as they stand in the file; of a preview up to `limit` bytes."""
    reader = Reader(source)
    if reader.peek() == "{":
        reader.position += 1
    while reader.peek() == '"':
        line, head = reader.here(), reader.rest(200)
        try:
            key = reader.value()
            reader.peek()
            reader.position += 1
            if reader.peek() != "[" or key not in ("images", "annotations", "categories"):
                reader.value()
            else:
                for item in elements(reader):
                    if limit is not None and source.position > limit:
                        return
                    if isinstance(item, Problem):
                        yield item
                    else:
                        yield from _keep(table, categories, key, item)
        except (json.JSONDecodeError, UserError) as error:
            yield problem(line, head, "broken_json", "The object is no valid JSON: {detail}.", detail=str(error)[:200])
            return
        if reader.peek() == ",":
            reader.position += 1
    if reader.peek() != "}":
        yield problem(reader.here(), reader.rest(200), "truncated", "The object breaks off here; upload the whole file.")


def _keep(table: sqlite3.Connection, categories: dict[str, str], key: str, item: tuple[int, Any, str]) -> Iterator[Problem]:
    line, value, head = item
    reference = "image_id" if key == "annotations" else "id"
    if not isinstance(value, dict) or value.get(reference) is None:
        yield problem(line, head, "no_object", "The list holds something that is neither an object nor a text.")
    elif key == "categories":
        categories[str(value["id"])] = str(value.get("name", value["id"]))
    elif key == "images":
        table.execute("insert into picture values (?, ?, ?)", (str(value["id"]), line, json.dumps(value)))
    else:
        table.execute("insert into label values (?, ?)", (str(value["image_id"]), json.dumps(value)))


def _fields(picture: dict[str, Any], labels: list[dict[str, Any]], categories: dict[str, str]) -> dict[str, Any]:
    name = str(picture.get("file_name") or picture.get("coco_url") or picture["id"])
    media: dict[str, Any] = {"kind": "image", "name": name}
    address = picture.get("coco_url") or picture.get("url")
    if isinstance(address, str) and "://" in address:
        media["url"] = address
    for size in ("width", "height"):
        if isinstance(picture.get(size), int):
            media[size] = picture[size]
    ours = picture.get(OURS)
    fields: dict[str, Any] = {"id": str(PurePosixPath(name).with_suffix("")), "modality": "image", "media": [media]}
    captions = [str(label["caption"]) for label in labels if isinstance(label.get("caption"), str)]
    if captions:
        fields["text"] = captions[0]
    if len(captions) > 1:
        fields["extra"] = {"captions": captions}
    if isinstance(ours, dict):
        fields.update(ours)
    drawn = [region for label in labels if "caption" not in label for region in _regions(label, categories)]
    found = annotation(drawn, picture.get("width"), picture.get("height"))
    put_back(fields, found, always=bool(drawn) or not (captions or ours))
    return fields


def _regions(label: dict[str, Any], categories: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A polygon for every part of an outline, unless it is the box itself; else the box."""
    name = categories.get(str(label.get("category_id")), str(label.get("category_id", "")))
    number = str(label.get("region_id", label.get("id", "")))
    outlines = label.get("segmentation")
    parts = [part for part in outlines if isinstance(part, list) and len(part) >= 6] if isinstance(outlines, list) else []
    points = [list(zip(part[::2], part[1::2], strict=False)) for part in parts]
    if points and not (len(points) == 1 and is_rectangle(points[0])):
        for index, part in enumerate(points, start=1):
            yield polygon(number if index == 1 else f"{number}.{index}", name, part)
    elif isinstance(label.get("bbox"), list) and len(label["bbox"]) == 4:
        x, y, w, h = label["bbox"]
        yield box(number, name, x, y, x + w, y + h)

"""Pascal VOC: one XML file for each picture, with `object`s that have a name and a `bndbox`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree  # entities are refused before it reads

from workers.data.formats.base import Container, Problem, Row, Shape, content_error, problem
from workers.data.formats.json_values import parse
from workers.data.formats.regions import annotation, box, put_back
from workers.data.formats.turns import OURS
from workers.data.source import MAX_LINE, Source

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_USUAL = {"", "0", "Unspecified"}


class Xml(Container):
    """A file is one row: `{"annotation": ElementTree.Element}`."""

    name = "xml"
    suffixes = (".xml",)

    def recognises(self, head: bytes, whole: bool) -> bool:
        return b"<annotation" in head[:2000]

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        pieces: list[bytes] = []
        for piece in source.chunks():
            pieces.append(piece)
            if sum(map(len, pieces)) > MAX_LINE:
                yield problem(1, pieces[0], "line_too_long", "The line is longer than {limit} MB; split the record.",
                              limit=MAX_LINE // 1024 // 1024)  # fmt: skip
                return
        content = b"".join(pieces)
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            yield problem(1, content, "xml_entities", "The XML declares entities, which are not read; remove its DOCTYPE.")
            return
        try:
            root = ElementTree.fromstring(content)  # noqa: S314  (no DOCTYPE, no entities)
        except ElementTree.ParseError as error:
            yield problem(
                error.position[0], content, "broken_xml", "The file is no valid XML: {detail}.", detail=str(error)[:200]
            )
            return
        yield Row(1, {root.tag: root}, content[:200].decode("utf-8", "replace"))


class Voc(Shape):
    name = "voc"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("annotation"), ElementTree.Element)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        root = row.get("annotation")
        if not isinstance(root, ElementTree.Element) or not (root.findtext("filename") or "").strip():
            raise content_error("no_voc", "The XML is no VOC annotation with a «filename».")
        name = (root.findtext("filename") or "").strip()
        width, height = (_whole(root.findtext(f"size/{side}")) for side in ("width", "height"))
        media: dict[str, Any] = {"kind": "image", "name": name}
        media.update({field: size for field, size in (("width", width), ("height", height)) if size})
        fields: dict[str, Any] = {"id": str(PurePosixPath(name).with_suffix("")), "modality": "image", "media": [media]}
        ours = root.findtext(OURS)
        if ours:
            fields.update(_kept(ours))
        objects = root.findall("object")
        drawn = [_region(index, item) for index, item in enumerate(objects, start=1)]
        put_back(fields, annotation(drawn, width, height), always=not ours or bool(drawn))
        details = [found for index, item in enumerate(objects, start=1) if (found := _details(index, item))]
        if details and not ours:
            fields["extra"] = {"objects": details}
        return fields


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text or "")) or None
    except (ValueError, OverflowError):
        return None


def _kept(text: str) -> dict[str, Any]:
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        raise content_error("broken_json", "The object is no valid JSON: {detail}.", detail=error.msg) from error
    return value if isinstance(value, dict) else {}


def _region(index: int, item: ElementTree.Element) -> dict[str, Any]:
    sides = [item.findtext(f"bndbox/{side}") for side in _SIDES]
    if any(side is None for side in sides):
        raise content_error("bad_shape", "Shape {number} has no points.", number=index)
    return box(item.get("id", index), (item.findtext("name") or "").strip(), *sides)


def _details(index: int, item: ElementTree.Element) -> dict[str, str]:
    """What else is told of an object: pose, truncated, difficult, occluded, where it is not as usual."""
    told = {child.tag: (child.text or "").strip() for child in item if child.tag not in ("name", "bndbox") and not len(child)}
    unusual = {tag: text for tag, text in told.items() if text not in _USUAL}
    return {"region": str(item.get("id", index)), **unusual} if unusual else {}

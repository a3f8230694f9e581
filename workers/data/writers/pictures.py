"""COCO, VOC, YOLO and labelme: pictures with their boxes and polygons, as a ZIP with the files that are stored."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from workers.data.formats.base import Loss
from workers.data.formats.regions import bounds, corners, number, take_out
from workers.data.formats.turns import OURS
from workers.data.records import canonical_json, slim
from workers.data.writers.base import Counts, Files, Row, left_out
from workers.data.writers.zip_stream import ZipStream, blocks
from workers.spec.record import Record


class Picture:
    """A record that is one picture: its file's name in the export, its size, its regions, and all else that it says."""

    def __init__(self, record: Record, taken: set[str]) -> None:
        content = slim(record.model_dump(mode="json"))
        self.rest, value = take_out(content)
        self.rest.pop("modality", None)
        item = content["media"][0]
        self.sha256: str | None = item.get("sha256")
        self.name, renamed = _free_name(item, record.id, taken)
        if renamed or "name" not in item:
            item["name"] = self.name
        image = (value or {}).get("image") or {}
        self.width = int(item.get("width") or image.get("w") or 0)
        self.height = int(item.get("height") or image.get("h") or 0)
        self.regions: list[dict[str, Any]] = (value or {}).get("regions", [])


def _free_name(item: dict[str, Any], record_id: str, taken: set[str]) -> tuple[str, bool]:
    """The file's own name, made safe; made another (True) when it is taken."""
    given = str(item.get("name") or str(item.get("url") or "").rsplit("/", 1)[-1] or f"{record_id}.jpg")
    parts = [part for part in given.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    name = free = "/".join(parts) or "picture.jpg"
    count = 1
    while free in taken:
        count += 1
        path = PurePosixPath(name)
        free = f"{path.with_suffix('')}-{count}{path.suffix}"
    taken.add(free)
    return free, free != name


def _pictures(records: Iterable[Record]) -> Iterator[Picture]:
    taken: set[str] = set()
    for record in records:
        if record.media and len(record.media) == 1 and record.media[0].kind == "image":
            yield Picture(record, taken)


def _file(archive: ZipStream, picture: Picture, files: Files, folder: str) -> Iterator[bytes]:
    path = files(picture.sha256) if picture.sha256 else None
    if path is not None:
        yield from archive.add_file(f"{folder}{picture.name}", path)


def coco(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    """`annotations.json` comes last: its lists grow on the disk while the pictures are sent."""
    archive = ZipStream()
    categories: dict[str, int] = {}
    with tempfile.TemporaryFile() as images, tempfile.TemporaryFile() as labels:
        count = 0
        for index, picture in enumerate(_pictures(records), start=1):
            row = {"id": index, "file_name": picture.name, "width": picture.width, "height": picture.height, OURS: picture.rest}
            images.write((b",\n" if index > 1 else b"") + canonical_json(row))
            for region in picture.regions:
                count += 1
                category = categories.setdefault(region["label"], len(categories) + 1)
                label = {"id": count, "image_id": index, "category_id": category, **_coco_shape(region)}
                labels.write((b",\n" if count > 1 else b"") + canonical_json(label))
            yield from _file(archive, picture, files, "images/")
        listed = [{"id": index, "name": name} for name, index in categories.items()]
        images.seek(0)
        labels.seek(0)
        yield from archive.add("annotations.json", _coco_document(blocks(images), blocks(labels), listed))
    yield from archive.close()


def _coco_document(images: Iterable[bytes], labels: Iterable[bytes], categories: list[Row]) -> Iterator[bytes]:
    yield b'{"images":[\n'
    yield from images
    yield b'\n],"annotations":[\n'
    yield from labels
    yield b'\n],"categories":' + canonical_json(categories) + b"}\n"


def _coco_shape(region: dict[str, Any]) -> Row:
    left, top, right, bottom = bounds(region)
    shape: Row = {"bbox": [left, top, number(right - left), number(bottom - top)], "iscrowd": 0, "region_id": region["id"]}
    if region["kind"] == "point":
        return {**shape, "keypoints": [region["x"], region["y"], 2], "num_keypoints": 1, "segmentation": [], "area": 0}
    points = corners(region)
    flat = [value for point in points for value in point]
    is_box = region["kind"] == "box" and not region.get("rotation")
    return {**shape, "segmentation": [] if is_box else [flat], "area": number(_area(points))}


def _area(points: list[list[float]]) -> float:
    """The shoelace formula."""
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2


def voc(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    archive = ZipStream()
    for picture in _pictures(records):
        yield from _file(archive, picture, files, "JPEGImages/")
        stem = PurePosixPath(picture.name).with_suffix("")
        yield from archive.add(f"Annotations/{stem}.xml", [_voc_file(picture)])
    yield from archive.close()


def _voc_file(picture: Picture) -> bytes:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = picture.name
    size = ElementTree.SubElement(root, "size")
    for name, pixels in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        ElementTree.SubElement(size, name).text = str(pixels)
    for region in picture.regions:
        if region["kind"] == "point":
            continue
        item = ElementTree.SubElement(root, "object", id=region["id"])
        ElementTree.SubElement(item, "name").text = region["label"]
        frame = ElementTree.SubElement(item, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), bounds(region), strict=True):
            ElementTree.SubElement(frame, name).text = repr(value)
    ElementTree.SubElement(root, OURS).text = canonical_json(picture.rest).decode()
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def yolo(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    archive = ZipStream()
    classes: dict[str, int] = {}
    for picture in _pictures(records):
        yield from _file(archive, picture, files, "images/")
        lines = [_yolo_line(region, picture, classes) for region in picture.regions if region["kind"] != "point"]
        stem = PurePosixPath(picture.name).with_suffix("")
        if picture.width and picture.height:
            yield from archive.add(f"labels/{stem}.txt", ["".join(lines).encode()])
    names = "".join(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for name, index in classes.items())
    yield from archive.add("data.yaml", [f"path: .\ntrain: images\nval: images\nnames:\n{names or '  {}'}".encode()])
    yield from archive.close()


def _yolo_line(region: dict[str, Any], picture: Picture, classes: dict[str, int]) -> str:
    index = classes.setdefault(region["label"], len(classes))
    w, h = picture.width, picture.height
    if region["kind"] == "box" and not region.get("rotation"):
        left, top, right, bottom = bounds(region)
        values = [(left + right) / 2 / w, (top + bottom) / 2 / h, (right - left) / w, (bottom - top) / h]
    else:
        values = [value / size for point in corners(region) for value, size in zip(point, (w, h), strict=True)]
    return " ".join([str(index), *(f"{value:.10f}".rstrip("0").rstrip(".") for value in values)]) + "\n"


def labelme(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    archive = ZipStream()
    for picture in _pictures(records):
        yield from _file(archive, picture, files, "")
        stem = PurePosixPath(picture.name).with_suffix("")
        sizes = {"imageHeight": picture.height, "imageWidth": picture.width}
        document = {"version": "5.0.0", "flags": {}, "shapes": list(map(_labelme_shape, picture.regions)),
                    "imagePath": PurePosixPath(picture.name).name, "imageData": None, **sizes, OURS: picture.rest}  # fmt: skip
        yield from archive.add(f"{stem}.json", [canonical_json(document)])
    yield from archive.close()


def _labelme_shape(region: dict[str, Any]) -> Row:
    kinds = {"box": "rectangle", "polygon": "polygon", "point": "point"}
    kind = "polygon" if region.get("rotation") else kinds[region["kind"]]
    points = corners(region)
    if kind == "rectangle":
        left, top, right, bottom = bounds(region)
        points = [[left, top], [right, bottom]]
    shape = {"label": region["label"], "points": points, "group_id": None, "shape_type": kind, "flags": {}}
    return {**shape, "region_id": region["id"]}


def picture_losses(format: str, counts: Counts) -> Iterator[Loss]:
    pictures = counts.feature("pictures")
    yield left_out("no_picture", "{count} records are not one picture each and are left out.", counts.total - pictures)
    yield Loss("no_file", "The files of {count} pictures are not stored here and are missing in the archive.",
               pictures - counts.feature("stored_pictures"))  # fmt: skip
    yield Loss("turned_boxes", "{count} pictures have turned boxes, which lose their angle.", counts.feature("region_rotated"))
    if format == "voc":
        yield Loss("polygon_boxes", "{count} pictures have polygons, of which only the box around them is kept.",
                   counts.feature("region_polygon"))  # fmt: skip
    if format in ("voc", "yolo", "coco"):
        template = "{count} pictures lose their points."
        yield Loss("points", template, counts.feature("region_point") if format != "coco" else 0)
    if format == "yolo":
        yield Loss("only_regions", "{count} records keep only their regions and the name of the file.", pictures)


Builder = Callable[[Iterable[Record], Files], Iterator[bytes]]

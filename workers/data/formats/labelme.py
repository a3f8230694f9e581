"""labelme: a JSON object for each picture, with `shapes` (rectangles, polygons, points) and `imagePath`."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.regions import annotation, box, point, polygon, put_back
from workers.data.formats.turns import OURS

KNOWN = ("rectangle", "polygon", "point")


class Labelme(Shape):
    name = "labelme"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("shapes"), list) and isinstance(row.get("imagePath"), str)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        shapes, path = row.get("shapes"), row.get("imagePath")
        if not isinstance(shapes, list) or not isinstance(path, str) or not all(isinstance(item, Mapping) for item in shapes):
            raise content_error("no_shapes", "The row has no «shapes» with an «imagePath».")
        name = path.replace("\\", "/")
        media: dict[str, Any] = {"kind": "image", "name": name}
        for field, column in (("width", "imageWidth"), ("height", "imageHeight")):
            if isinstance(row.get(column), int):
                media[field] = row[column]
        if isinstance(row.get("imageData"), str) and row["imageData"]:
            media["url"] = f"data:;base64,{row['imageData']}"
        fields: dict[str, Any] = {"id": str(PurePosixPath(name).with_suffix("")), "modality": "image", "media": [media]}
        if others := [dict(shape) for shape in shapes if shape.get("shape_type", "polygon") not in KNOWN]:
            fields["extra"] = {"shapes": others}
        ours = row.get(OURS)
        if isinstance(ours, Mapping):
            fields.update(ours)
            if "url" in media:
                fields["media"] = [{**item, "url": media["url"]} for item in fields["media"][:1]] + fields["media"][1:]
        drawn = [_region(index, shape) for index, shape in enumerate(shapes, start=1) if shape not in others]
        found = annotation(drawn, row.get("imageWidth"), row.get("imageHeight"))
        put_back(fields, found, always=not isinstance(ours, Mapping) or bool(drawn))
        return fields


def _region(index: int, shape: Mapping[str, Any]) -> dict[str, Any]:
    points, label = shape.get("points"), shape.get("label", "")
    kind, name = shape.get("shape_type", "polygon"), shape.get("region_id", index)
    if not isinstance(points, list) or not all(isinstance(item, list) and len(item) == 2 for item in points):
        raise content_error("bad_shape", "Shape {number} has no points.", number=index)
    if kind == "rectangle" and len(points) == 2:
        return box(name, label, *points[0], *points[1])
    if kind == "rectangle" and len(points) == 4:
        return box(name, label, *points[0], *points[2])
    if kind == "point" and len(points) == 1:
        return point(name, label, *points[0])
    return polygon(name, label, points)

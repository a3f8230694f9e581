"""Boxes, polygons and points on a picture, in its pixels as it is seen; what the picture formats share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workers.data.formats.base import content_error
from workers.data.media_files import Measured

QUESTION = "regions"
_DIGITS = 4
"""Coordinates are kept to a ten-thousandth of a pixel, so that sums and differences come back the same."""


def number(value: Any) -> int | float:
    """A coordinate: rounded, whole where it is whole."""
    try:
        rounded = round(float(value), _DIGITS)
    except (TypeError, ValueError, OverflowError) as error:
        raise content_error("bad_number", "«{value}» is no number.", value=str(value)[:40]) from error
    if not math.isfinite(rounded):
        raise content_error("bad_number", "«{value}» is no number.", value=str(value)[:40])
    return int(rounded) if rounded.is_integer() else rounded


def box(region_id: Any, label: Any, left: Any, top: Any, right: Any, bottom: Any) -> dict[str, Any]:
    """A box from two opposite corners in any order."""
    xs, ys = sorted((number(left), number(right))), sorted((number(top), number(bottom)))
    sizes = {"x": xs[0], "y": ys[0], "w": number(xs[1] - xs[0]), "h": number(ys[1] - ys[0])}
    return {"id": str(region_id), "kind": "box", **sizes, "label": str(label)}


def polygon(region_id: Any, label: Any, points: Sequence[Sequence[Any]]) -> dict[str, Any]:
    if len(points) < 3 or any(not isinstance(point, (list, tuple)) or len(point) != 2 for point in points):
        raise content_error("bad_polygon", "A polygon has fewer than three points.")
    return {"id": str(region_id), "kind": "polygon", "points": [[number(x), number(y)] for x, y in points], "label": str(label)}


def point(region_id: Any, label: Any, x: Any, y: Any) -> dict[str, Any]:
    return {"id": str(region_id), "kind": "point", "x": number(x), "y": number(y), "label": str(label)}


def annotation(regions: Sequence[Mapping[str, Any]], width: Any, height: Any) -> dict[str, Any]:
    image = {"w": int(number(width)), "h": int(number(height))} if width and height else {}
    return {"q": QUESTION, "type": "regions", "value": {"image": image, "regions": list(regions)}}


def corners(region: Mapping[str, Any]) -> list[list[int | float]]:
    """The outline of a region as points; a turned box (`rotation` in degrees, clockwise, about its middle) too."""
    if region["kind"] == "polygon":
        return [list(item) for item in region["points"]]
    if region["kind"] == "point":
        return [[region["x"], region["y"]]]
    x, y, w, h = (region[name] for name in ("x", "y", "w", "h"))
    outline = [[x, y], [number(x + w), y], [number(x + w), number(y + h)], [x, number(y + h)]]
    return _turned(outline, x + w / 2, y + h / 2, region["rotation"]) if region.get("rotation") else outline


def _turned(points: list[list[int | float]], middle_x: float, middle_y: float, degrees: float) -> list[list[int | float]]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved = [(x - middle_x, y - middle_y) for x, y in points]
    return [[number(middle_x + x * c - y * s), number(middle_y + x * s + y * c)] for x, y in moved]


def bounds(region: Mapping[str, Any]) -> tuple[int | float, int | float, int | float, int | float]:
    """Left, top, right and bottom of the upright box around a region."""
    points = corners(region)
    xs, ys = [x for x, _y in points], [y for _x, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def is_rectangle(points: Sequence[Sequence[Any]]) -> bool:
    """Whether four points are the corners of an upright box."""
    return len(points) == 4 and len({x for x, _y in points}) == 2 and len({y for _x, y in points}) == 2 and (
        len({tuple(item) for item in points}) == 4
    )  # fmt: skip


def fit(value: dict[str, Any], measured: Measured, name: str) -> dict[str, Any]:
    """Regions in the pixels of the picture as it is seen: turned when they were drawn on the picture as it is stored."""
    if measured.width is None or measured.height is None:
        return value
    image = value.get("image") or {}
    size = image.get("w"), image.get("h")
    seen = {"w": measured.width, "h": measured.height}
    if size in ((None, None), (measured.width, measured.height)):
        return {"image": seen, "regions": value["regions"]}
    if size == measured.stored_size:
        return {"image": seen, "regions": [_as_seen(region, measured) for region in value["regions"]]}
    raise content_error(
        "picture_size", "The picture «{name}» has {width} × {height} pixels, but its labels were made for {w} × {h}.",
        name=name[:200], width=measured.width, height=measured.height, w=size[0], h=size[1],
    )  # fmt: skip


def _as_seen(region: dict[str, Any], measured: Measured) -> dict[str, Any]:
    points = [_turn_point(x, y, measured) for x, y in corners(region)]
    kept = {"id": region["id"], "label": region["label"]}
    if region["kind"] == "point":
        return point(kept["id"], kept["label"], *points[0])
    if region["kind"] == "polygon" or region.get("rotation"):
        return polygon(kept["id"], kept["label"], points)
    return box(kept["id"], kept["label"], *points[0], *points[2])


def _turn_point(x: float, y: float, measured: Measured) -> tuple[float, float]:
    """From the stored to the seen picture, for the EXIF orientations that exchange width and height."""
    width, height = measured.width or 0, measured.height or 0
    turned = {5: (y, x), 6: (width - y, x), 7: (width - y, height - x), 8: (y, height - x)}
    return turned.get(measured.orientation, (x, y))


def take_out(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A record without the first regions that were drawn on its picture (their place is kept), and these regions."""
    found = None
    kept = []
    for item in content.get("annotations", []):
        if found is None and item["type"] == "regions":
            found = item["value"]
            kept.append({**item, "value": None})
        else:
            kept.append(item)
    return ({**content, "annotations": kept} if kept else dict(content)), found


def put_back(fields: dict[str, Any], drawn: dict[str, Any], *, always: bool) -> None:
    """Undo `take_out` on what was imported: the regions go to their place, or (`always`) behind other annotations."""
    annotations = [
        {**item, "value": drawn["value"]} if item.get("type") == "regions" and item.get("value") is None else item
        for item in fields.get("annotations") or []
    ]
    if always and not any(item.get("value") is drawn["value"] for item in annotations):
        annotations.append(drawn)
    if annotations:
        fields["annotations"] = annotations

"""LabelU's JSON Lines: `sample_name`, `meta_data`, and `annotations` by tool; places are pixels, times seconds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.json_values import parse
from workers.data.formats.regions import annotation, box, point, polygon
from workers.data.formats.turns import OURS, media_item
from workers.data.media_files import kind_of
from workers.spec.errors import UserError

_REGIONS = ("rectTool", "polygonTool", "pointTool")
_SEGMENTS, _FRAMES = ("audioSegmentTool", "videoSegmentTool"), ("audioFrameTool", "videoFrameTool")


class LabelU(Shape):
    name = "labelu"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        named = isinstance(row.get("sample_name"), str) and ("annotations" in row or "meta_data" in row)
        return named or (isinstance(row.get("fileName"), str) and "result" in row)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        name = row.get("sample_name", row.get("fileName"))
        if not isinstance(name, str) or not name:
            raise content_error("no_sample", "The row has no «sample_name».")
        result = _result(row.get("result"))
        tools = {tool: _items(content) for tool, content in _by_tool(row.get("annotations", result.get("annotations", result)))}
        sizes = row.get("meta_data") if isinstance(row.get("meta_data"), Mapping) else result
        kind = kind_of(name) or next(
            (kind for kind in ("video", "audio") if any(tool.startswith(kind) for tool in tools)), "image"
        )
        item = media_item(kind, name)
        for size in ("width", "height"):
            if isinstance((sizes or {}).get(size), int):
                item[size] = (sizes or {})[size]
        record: dict[str, Any] = {"id": str(row.get("id") or name), "modality": kind, "media": [item]}
        if isinstance(row.get(OURS), Mapping):
            record.update(row[OURS])
        _add_answers(record, tools, item, isinstance(row.get(OURS), Mapping))
        unread = {tool: items for tool, items in tools.items() if tool in ("lineTool", "cuboidTool") and items}
        if unread:
            record["extra"] = {**record.get("extra", {}), **unread}
        return record


def _result(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = parse(value) if value.strip() else {}
        except (json.JSONDecodeError, UserError) as error:
            raise content_error("broken_json", "The object is no valid JSON: {detail}.", detail=str(error)[:200]) from error
    return dict(value) if isinstance(value, Mapping) else {}


def _by_tool(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((str(item.get("toolName")), item) for item in value if isinstance(item, Mapping))
    elif isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items() if str(name).endswith("Tool"))


def _items(content: Any) -> list[Mapping[str, Any]]:
    items = content.get("result") if isinstance(content, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise content_error("bad_result", "A «result» of the task is no list of objects.")
    return items


def _add_answers(record: dict[str, Any], tools: Mapping[str, list[Mapping[str, Any]]], item: Mapping[str, Any],
                 ours: bool) -> None:  # fmt: skip
    found: list[dict[str, Any]] = []
    drawn = [(shape.get("order", 0), tool, shape) for tool in _REGIONS for shape in tools.get(tool, [])]
    if drawn or any(tool in tools for tool in _REGIONS):
        regions = [
            _region(index, tool, shape) for index, (_, tool, shape) in enumerate(sorted(drawn, key=lambda one: one[0]), start=1)
        ]
        found.append(annotation(regions, item.get("width"), item.get("height")))
    for kind, names, make in (("segments", _SEGMENTS, _segment), ("frames", _FRAMES, _frame)):
        if any(name in tools for name in names):
            made = [make(index, one) for index, one in enumerate((one for name in names for one in tools.get(name, [])), start=1)]
            found.append({"q": kind, "type": kind, "value": made})
    for tag in tools.get("tagTool", []):
        for q, chosen in (tag.get("value") or {}).items():
            several = not isinstance(chosen, list) or len(chosen) != 1 or tag.get("several")
            found.append({"q": q, "type": "choice", "value": chosen if several else chosen[0]})
    for text in tools.get("textTool", []):
        found += [{"q": q, "type": "text", "value": str(words)} for q, words in (text.get("value") or {}).items()]
    _place(record, found, ours)


def _place(record: dict[str, Any], found: list[dict[str, Any]], ours: bool) -> None:
    """Into the places that our own export left, the others behind them."""
    left = list(found)
    placed = []
    for item in record.get("annotations") or []:
        match = next((one for one in left if item.get("value") is None and one["type"] == item["type"]
                      and (one["q"] == item["q"] or one["type"] in ("regions", "segments", "frames"))), None)  # fmt: skip
        if match is not None:
            left.remove(match)
        placed.append({**item, "value": match["value"]} if match is not None else item)
    annotations = placed + [one for one in left if not ours or one["value"]]
    if annotations:
        record["annotations"] = annotations


def _region(index: int, tool: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    name, label = shape.get("id") or index, shape.get("label") or ""
    try:
        if tool == "polygonTool":
            return polygon(name, label, [(spot["x"], spot["y"]) for spot in shape["points"]])
        if tool == "pointTool":
            return point(name, label, shape["x"], shape["y"])
        x, y = float(shape["x"]), float(shape["y"])
        made = box(name, label, x, y, x + float(shape["width"]), y + float(shape["height"]))
    except (KeyError, TypeError, ValueError) as error:
        raise content_error("bad_shape", "Shape {number} has no points.", number=index) from error
    return {**made, "rotation": shape["rotate"]} if shape.get("rotate") else made


def _segment(index: int, item: Mapping[str, Any]) -> dict[str, Any]:
    try:
        start, end = (round(float(item[side]) * 1000) for side in ("start", "end"))
    except (KeyError, TypeError, ValueError) as error:
        raise content_error(
            "bad_segment", "Segment {number} has no start_ms and end_ms in whole milliseconds.", number=index
        ) from error
    text = {"text": item["text"]} if isinstance(item.get("text"), str) else {}
    return {"id": str(item.get("id") or index), "start_ms": start, "end_ms": end, "label": str(item.get("label") or ""), **text}


def _frame(index: int, item: Mapping[str, Any]) -> dict[str, Any]:
    try:
        at = round(float(item["time"]) * 1000)
    except (KeyError, TypeError, ValueError) as error:
        raise content_error(
            "bad_segment", "Segment {number} has no start_ms and end_ms in whole milliseconds.", number=index
        ) from error
    return {"id": str(item.get("id") or index), "at_ms": at, "label": str(item.get("label") or "")}

"""WanJuan: `id` and `content` of a text; with `img_list` a text with pictures in it as `![](url)`; or a described video."""

import re
from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import common_fields, media_item

PICTURE = re.compile(r"!\[\]\(([^()\s]+)\)")
_VIDEO = ("video", "duration_ms", "caption", "segments")


class WanJuan(Shape):
    name = "wanjuan"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        text = isinstance(row.get("content"), str) and ("img_list" in row or row.keys() == {"id", "content"})
        return text or (isinstance(row.get("video"), str) and ("segments" in row or "caption" in row))

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        if isinstance(row.get("video"), str):
            return _video(row)
        text = row.get("content")
        if not isinstance(text, str) or not text.strip():
            raise content_error("no_content", "The text is empty.")
        given = row.get("img_list") or []
        if not isinstance(given, list) or not all(isinstance(item, Mapping) and item.get("url") for item in given):
            raise content_error("bad_media", "A file of the record is neither a path nor an object.")
        media = [_picture(item) for item in given]
        marked, order = marks_of(text, [item["url"] for item in media])
        record = common_fields(row, ("content", "img_list", "label"), [media[index] for index in order])
        record["text"] = marked
        if isinstance(row.get("label"), str) and row["label"]:
            record["label"] = row["label"]
        return record


def _picture(item: Mapping[str, Any]) -> dict[str, Any]:
    """Its `sha256` is one of the address, not of the file, so it is kept aside."""
    renamed = {("url_sha256" if name == "sha256" else name): value for name, value in item.items() if value != ""}
    return media_item("image", renamed)


def marks_of(text: str, urls: list[str]) -> tuple[str, list[int]]:
    """The text with `<image>` where a picture of the list stands, and the pictures in the order of the marks.

    A picture that stands twice is listed twice, one that stands nowhere comes last; a text that holds such marks already
    stays as it is.
    """
    if not urls or "<image>" in text:
        return text, list(range(len(urls)))
    order: list[int] = []

    def mark(found: re.Match[str]) -> str:
        if found.group(1) not in urls:
            return found.group(0)
        order.append(urls.index(found.group(1)))
        return "<image>"

    marked = PICTURE.sub(mark, text)
    return marked, order + [index for index in range(len(urls)) if index not in order]


def _video(row: Mapping[str, Any]) -> dict[str, Any]:
    item = media_item("video", {name: row[name] for name in ("duration_ms", "caption") if row.get(name) not in (None, "")})
    item["url" if "://" in row["video"] else "name"] = row["video"]
    record = common_fields({name: value for name, value in row.items() if name != "video"}, _VIDEO, [item])
    if isinstance(row.get("caption"), str) and row["caption"]:
        record["text"] = row["caption"]
    segments = row.get("segments")
    if isinstance(segments, list) and segments:
        record["annotations"] = [
            {"q": "segments", "type": "segments", "value": list(map(_segment, segments, range(len(segments))))}
        ]
    return record


def _segment(item: Any, index: int) -> dict[str, Any]:
    if not isinstance(item, Mapping) or not all(isinstance(item.get(name), int) for name in ("start_ms", "end_ms")):
        raise content_error("bad_segment", "Segment {number} has no start_ms and end_ms in whole milliseconds.", number=index + 1)
    if not 0 <= item["start_ms"] <= item["end_ms"]:
        raise content_error("bad_segment", "Segment {number} has no start_ms and end_ms in whole milliseconds.", number=index + 1)
    kept = {name: item[name] for name in ("label", "text") if isinstance(item.get(name), str)}
    return {"id": str(item.get("id") or index + 1), "start_ms": item["start_ms"], "end_ms": item["end_ms"], **kept}

"""Label Studio's JSON: tasks with `data`, `annotations` and `predictions`; places in percent there become pixels here.

Of several annotations of a task the first becomes the record's; the others and the predictions are kept in `extra`.
"""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlparse

from workers.data.formats import field_names
from workers.data.formats.base import Shape, content_error
from workers.data.formats.regions import box, number, point, polygon
from workers.data.formats.turns import OURS, media_item, messages_from
from workers.data.media_files import kind_of

_MEDIA_KEYS = {"image": "image", "img": "image", "audio": "audio", "video": "video"}
_SPANS, _BOXES = ("labels", "hypertextlabels", "paragraphlabels"), ("rectanglelabels", "rectangle")


class LabelStudio(Shape):
    name = "labelstudio"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("data"), Mapping) and (
            {"annotations", "predictions", "completions"} & row.keys() != set() or row.keys() <= {"data", "id", "meta"}
        )

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        data = row.get("data")
        if not isinstance(data, Mapping):
            raise content_error("no_task", "The row is no Label Studio task with «data».")
        record = _task(data)
        if row.get("id") is not None:
            record.setdefault("id", str(row["id"]))
        given = row.get("annotations", row.get("completions")) or []
        made = [item for item in given if isinstance(item, Mapping) and not item.get("was_cancelled")]
        extra = dict(record.get("extra") or {})
        if made:
            _add_results(record, made[0].get("result") or [], extra)
            if made[1:]:
                extra["other_annotations"] = [dict(item) for item in made[1:]]
        if row.get("predictions"):
            extra["predictions"] = row["predictions"]
        if extra:
            record["extra"] = extra
        return record


def _task(data: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    media: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    for name, value in data.items():
        kind = _MEDIA_KEYS.get(name.lower()) or (kind_of(value) if isinstance(value, str) else None)
        if name == OURS and isinstance(value, Mapping):
            continue
        if kind and isinstance(value, str) and value:
            media.append(media_item(kind, _file_name(value)))
        elif name.lower() in field_names.TEXT and isinstance(value, str) and "text" not in record:
            record["text"] = value
        elif name in ("messages", "dialogue", "dialog") and _is_turns(value):
            record["messages"] = messages_from(value, media)
        else:
            extra[name] = value
    if media:
        record.update(media=media, modality=media[0]["kind"])
    if extra:
        record["extra"] = extra
    if isinstance(data.get(OURS), Mapping):
        record = dict(data[OURS])
    return record


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and bool({"role", "from"} & value[0].keys())


def _file_name(address: str) -> str:
    """The path below Label Studio's own storage; other addresses stay."""
    parsed = urlparse(address)
    if not parsed.scheme and parsed.path.endswith("/local-files/"):
        return parse_qs(parsed.query).get("d", [address])[0]
    return address.rsplit("/", 1)[-1] if address.startswith("/data/upload/") else address


def _add_results(record: dict[str, Any], results: Any, extra: dict[str, Any]) -> None:
    """The answers of one person, each question once, in the order of their first mention."""
    if not isinstance(results, list) or not all(isinstance(item, Mapping) for item in results):
        raise content_error("bad_result", "A «result» of the task is no list of objects.")
    found: dict[str, dict[str, Any]] = {}
    unread: list[dict[str, Any]] = []
    words = {str(item.get("id")): _words(item) for item in results if item.get("type") == "textarea" and item.get("id")}
    segments = {str(item.get("id")) for item in results if item.get("type") == "labels" and _is_segment(item)}
    for item in results:
        if not _add(found, item, str(item.get("from_name") or "label"), words, segments, record):
            unread.append(dict(item))
    if unread:
        extra["results"] = unread
    answers = list(found.values())
    places = record.get("annotations") or []
    filled = [found.pop(item["q"], item) if item.get("value") is None else item for item in places]
    record["annotations"] = [*filled, *(item for item in answers if item["q"] in found)]
    if not record["annotations"]:
        del record["annotations"]


def _words(item: Mapping[str, Any]) -> str:
    text = (item.get("value") or {}).get("text")
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _is_segment(item: Mapping[str, Any]) -> bool:
    value = item.get("value") or {}
    return isinstance(value.get("start"), (int, float)) and "text" not in value and not isinstance(value.get("startOffset"), int)


def _first(value: Mapping[str, Any], *names: str) -> str:
    given: Any = next((value[name] for name in names if value.get(name)), [])
    return str(given[0]) if isinstance(given, list) and given else ""


def _add(found: dict[str, dict[str, Any]], item: Mapping[str, Any], q: str, words: Mapping[str, str], segments: set[str],
         record: Mapping[str, Any]) -> bool:  # fmt: skip
    """Take one result in; False when its kind is not known."""
    kind, value, name = str(item.get("type")), item.get("value"), str(item.get("id") or "")
    if kind == "relation":
        _member(found, "relations", "relations", []).append(
            {"from": str(item.get("from_id")), "to": str(item.get("to_id")), "label": _first(item, "labels")}
        )
        return True
    if not isinstance(value, Mapping):
        return False
    if kind in _BOXES or kind in ("polygonlabels", "polygon", "keypointlabels", "keypoint"):
        regions = _member(found, q, "regions", {"image": _size(item), "regions": []})
        regions["regions"].append(_region(kind, item, value, name or str(len(regions["regions"]) + 1)))
    elif kind in _SPANS and isinstance(value.get("start"), int) and "text" in value and isinstance(record.get("text"), str):
        spans = _member(found, q, "spans", [])
        spans.append(_span(value, record["text"], name or str(len(spans) + 1)))
    elif kind == "labels" and _is_segment(item):
        said = {"text": words[name]} if name in words else {}
        start, end = (round(float(value[side]) * 1000) for side in ("start", "end"))
        made = _member(found, q, "segments", [])
        made.append(
            {"id": name or str(len(made) + 1), "start_ms": start, "end_ms": end, "label": _first(value, "labels"), **said}
        )
    elif kind == "textarea":
        if name not in segments:
            found[q] = {"q": q, "type": "text", "value": _words(item)}
    else:
        return _add_simple(found, kind, value, q)
    return True


def _member(found: dict[str, dict[str, Any]], q: str, kind: str, empty: Any) -> Any:
    return found.setdefault(q, {"q": q, "type": kind, "value": empty})["value"]


def _add_simple(found: dict[str, dict[str, Any]], kind: str, value: Mapping[str, Any], q: str) -> bool:
    if kind == "choices" and isinstance(value.get("choices"), list) and value["choices"]:
        chosen = value["choices"]
        found[q] = {"q": q, "type": "choice", "value": chosen[0] if len(chosen) == 1 and not value.get("several") else chosen}
    elif kind == "taxonomy" and isinstance(value.get("taxonomy"), list):
        found[q] = {"q": q, "type": "tree", "value": value["taxonomy"]}
    elif kind in ("rating", "number") and isinstance(value.get(kind), (int, float)):
        found[q] = {"q": q, "type": kind, "value": value[kind]}
    elif kind == "pairwise" and value.get("selected") in ("left", "right"):
        found[q] = {"q": q, "type": "pairwise", "value": "a" if value["selected"] == "left" else "b"}
    else:
        return False
    return True


def _size(item: Mapping[str, Any]) -> dict[str, int]:
    width, height = item.get("original_width"), item.get("original_height")
    if not isinstance(width, int) or not isinstance(height, int) or width < 1 or height < 1:
        raise content_error("no_picture_size", "A region has no «original_width» and «original_height».")
    return {"w": width, "h": height}


def _region(kind: str, item: Mapping[str, Any], value: Mapping[str, Any], name: str) -> dict[str, Any]:
    size = _size(item)
    label = _first(value, "rectanglelabels", "polygonlabels", "keypointlabels", "labels")

    def pixels(x: Any, y: Any) -> tuple[float, float]:
        return float(x) * size["w"] / 100, float(y) * size["h"] / 100

    try:
        if kind.startswith("polygon"):
            return polygon(name, label, [pixels(*spot) for spot in value["points"]])
        x, y = pixels(value["x"], value["y"])
        if kind.startswith("keypoint"):
            return point(name, label, x, y)
        w, h = pixels(value["width"], value["height"])
    except (KeyError, TypeError, ValueError) as error:
        raise content_error("bad_shape", "Shape {number} has no points.", number=name) from error
    degrees = value.get("rotation") or 0
    if not degrees:
        return box(name, label, x, y, x + w, y + h)
    x, y = about_middle(x, y, w, h, float(degrees))
    return {**box(name, label, x, y, x + w, y + h), "rotation": number(degrees)}


def about_middle(x: float, y: float, w: float, h: float, degrees: float) -> tuple[float, float]:
    """Label Studio turns a box about its upper left corner, we about its middle: where ours begins."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x + (w * c - h * s) / 2 - w / 2, y + (w * s + h * c) / 2 - h / 2


def about_corner(x: float, y: float, w: float, h: float, degrees: float) -> tuple[float, float]:
    """The way back."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x + w / 2 - (w * c - h * s) / 2, y + h / 2 - (w * s + h * c) / 2


def _span(value: Mapping[str, Any], text: str, name: str) -> dict[str, Any]:
    """The browser counts UTF-16 units; where that differs from code points, its copy of the words tells which was meant."""
    label = _first(value, "labels", "hypertextlabels", "paragraphlabels")
    start, end, said = int(value["start"]), int(value["end"]), str(value.get("text", ""))
    if text[start:end] != said:
        units = text.encode("utf-16-le", "surrogatepass")
        try:
            before, inside = (units[2 * left : 2 * right].decode("utf-16-le") for left, right in ((0, start), (start, end)))
        except UnicodeDecodeError as error:
            raise content_error("span_in_character", "A span begins or ends within a character.") from error
        if inside == said:
            start, end = len(before), len(before) + len(inside)
    if not 0 <= start <= end <= len(text):
        raise content_error("span_outside", "A span lies outside its text.")
    return {"id": name, "start": start, "end": end, "label": label, "text": text[start:end]}

"""Answers that mark a place: spans and relations in a text, regions on a picture, segments and frames of sound and film."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeGuard

from webapp.datasets.words import clean
from webapp.labeling.questions.errors import AnswerError
from webapp.labeling.questions.fields import (
    Choice,
    FramesField,
    Question,
    RegionsField,
    RelationsField,
    SegmentsField,
    SpansField,
)
from webapp.labeling.questions.plain import LONGEST_TEXT, is_number
from webapp.labeling.questions.records import medium, text_at

MOST_MARKS = 10_000
TOLERANCE = 1.0
"""Pixels by which rounding may carry a mark over the edge of its picture; it is moved back inside."""
END_TOLERANCE_MS = 100
"""Players round the length of a recording."""


def marks(field: Question, answer: Any) -> list[dict[str, Any]]:
    """A list of objects with different ids."""
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise AnswerError("marks_expected", "The answer to “{field}” must be a list of marks.", field=field)
    if len(answer) > MOST_MARKS:
        raise AnswerError("too_many_marks", "“{field}” has more than {limit} marks.", field=field, limit=MOST_MARKS)
    seen: set[str] = set()
    for item in answer:
        name = item.get("id")
        if not isinstance(name, str) or not 1 <= len(name) <= 80:
            raise AnswerError("mark_without_id", "A mark of “{field}” has no id; give each one of its own.", field=field)
        if name in seen:
            raise AnswerError("same_mark_id", "Two marks of “{field}” have the id {id}; ids must differ.", field=field, id=name)
        seen.add(name)
    return answer


def label_of(field: Question, item: dict[str, Any], labels: Sequence[Choice]) -> str:
    label = item.get("label")
    if isinstance(label, str) and any(label == each.value for each in labels):
        return label
    raise AnswerError("not_a_label", "“{label}” is none of the labels of “{field}”.", field=field, label=str(label)[:80])


def spans(field: SpansField, answer: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    text = text_at(data, field.source)
    checked = [_span(field, item, text) for item in marks(field, answer)]
    checked.sort(key=lambda span: (span["start"], span["end"]))
    if not field.overlap:
        for before, after in pairwise(checked):
            if after["start"] < before["end"]:
                raise AnswerError(
                    "spans_overlap",
                    "“{first}” and “{second}” overlap, which “{field}” does not allow; shorten one.",
                    field=field, first=before["text"][:40], second=after["text"][:40],
                )  # fmt: skip
    return checked


def _span(field: SpansField, item: dict[str, Any], text: str) -> dict[str, Any]:
    start, end = item.get("start"), item.get("end")
    if not (_is_whole(start) and _is_whole(end) and 0 <= start < end <= len(text)):
        raise AnswerError(
            "span_outside",
            "A span of “{field}” from {start} to {end} lies outside its text of {length} characters.",
            field=field, start=_short(start), end=_short(end), length=len(text),
        )  # fmt: skip
    covered = text[start:end]
    if item.get("text", covered) != covered:
        raise AnswerError(
            "span_text_differs",
            "A span of “{field}” says “{said}” where the text says “{found}”; offsets count characters (code points) from 0.",
            field=field, said=str(item["text"])[:60], found=covered[:60],
        )  # fmt: skip
    return {"id": item["id"], "start": start, "end": end, "label": label_of(field, item, field.labels), "text": covered}


def relations(field: RelationsField, answer: Any, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`known`: the spans that were marked."""
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise AnswerError("marks_expected", "The answer to “{field}” must be a list of marks.", field=field)
    ids = {span["id"] for span in known}
    checked: list[dict[str, Any]] = []
    for item in answer:
        ends = [item.get("from"), item.get("to")]
        for end in ends:
            if not isinstance(end, str) or end not in ids:
                raise AnswerError(
                    "no_such_span", "A relation of “{field}” leads to {id}, which is no span here.", field=field, id=_short(end)
                )
        relation = {"from": ends[0], "to": ends[1], "label": label_of(field, item, field.labels)}
        if relation not in checked:
            checked.append(relation)
    return checked


def regions(field: RegionsField, answer: Any, data: dict[str, Any]) -> dict[str, Any]:
    image = answer.get("image") if isinstance(answer, dict) else None
    if not isinstance(image, dict) or not all(is_number(image.get(side)) and image[side] > 0 for side in ("w", "h")):
        raise AnswerError(
            "image_size_missing", "The answer to “{field}” must carry the size of the picture and a list of regions.", field=field
        )
    picture = medium(data, field.source, "image")
    size = (picture.get("width"), picture.get("height"))
    if is_number(size[0]) and is_number(size[1]) and (round(image["w"]), round(image["h"])) != size:
        raise AnswerError(
            "other_image_size",
            "The regions of “{field}” were drawn on {drawn}, but the picture has {real} pixels; use its own pixels.",
            field=field, drawn=f"{round(image['w'])} × {round(image['h'])}", real=f"{size[0]} × {size[1]}",
        )  # fmt: skip
    checked = [_region(field, item, image["w"], image["h"]) for item in marks(field, answer.get("regions"))]
    return {"image": {"w": image["w"], "h": image["h"]}, "regions": checked}


def _region(field: RegionsField, item: dict[str, Any], width: float, height: float) -> dict[str, Any]:
    kind = item.get("kind")
    if kind not in field.tools:
        raise AnswerError("not_a_tool", "“{field}” takes no {kind}.", field=field, kind=_short(kind))
    base = {"id": item["id"], "kind": kind}
    label = {"label": label_of(field, item, field.labels)}
    if kind == "box":
        return {**base, **_box(field, item, width, height), **label}
    points = [[item.get("x"), item.get("y")]] if kind == "point" else item.get("points")
    if not isinstance(points, list) or (kind == "polygon" and len(points) < 3):
        raise AnswerError("few_points", "A polygon of “{field}” needs at least three points.", field=field)
    inside = [_point(field, point, width, height) for point in points]
    return {**base, "x": inside[0][0], "y": inside[0][1], **label} if kind == "point" else {**base, "points": inside, **label}


def _point(field: RegionsField, point: Any, width: float, height: float) -> list[float]:
    if not isinstance(point, list) or len(point) != 2 or not all(is_number(part) for part in point):
        raise AnswerError("bad_point", "A point of “{field}” is not a pair of numbers.", field=field)
    return [_inside(field, point[0], width), _inside(field, point[1], height)]


def _inside(field: RegionsField, value: float, limit: float) -> float:
    if not -TOLERANCE <= value <= limit + TOLERANCE:
        raise AnswerError(
            "region_outside", "A region of “{field}” lies outside the picture (at {value} of {limit}).",
            field=field, value=round(value, 1), limit=round(limit, 1),
        )  # fmt: skip
    return min(max(value, 0), limit)


def _box(field: RegionsField, item: dict[str, Any], width: float, height: float) -> dict[str, float]:
    """A turned box may stand over the edge with a corner; its middle must lie inside."""
    if not all(is_number(item.get(part)) for part in ("x", "y", "w", "h")) or item["w"] <= 0 or item["h"] <= 0:
        raise AnswerError("bad_box", "A box of “{field}” needs numbers x, y, w and h, the last two above zero.", field=field)
    rotation = item.get("rotation") or 0
    if not is_number(rotation):
        raise AnswerError("bad_box", "A box of “{field}” needs numbers x, y, w and h, the last two above zero.", field=field)
    if rotation % 360:
        _inside(field, item["x"] + item["w"] / 2, width)
        _inside(field, item["y"] + item["h"] / 2, height)
        return {**{part: item[part] for part in ("x", "y", "w", "h")}, "rotation": rotation % 360}
    left, top = _inside(field, item["x"], width), _inside(field, item["y"], height)
    right, bottom = _inside(field, item["x"] + item["w"], width), _inside(field, item["y"] + item["h"], height)
    return {"x": left, "y": top, "w": right - left, "h": bottom - top}


def segments(field: SegmentsField, answer: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    length = medium(data, field.source, field.media).get("duration_ms")
    checked = []
    for item in marks(field, answer):
        start, end = item.get("start_ms"), item.get("end_ms")
        if not (_is_whole(start) and _is_whole(end) and 0 <= start < end):
            raise AnswerError(
                "bad_segment", "A segment of “{field}” must begin before it ends, in whole milliseconds: {start} to {end}.",
                field=field, start=_short(start), end=_short(end),
            )  # fmt: skip
        segment = {"id": item["id"], "start_ms": start, "end_ms": _moment(field, end, length)}
        if field.labels:
            segment["label"] = label_of(field, item, field.labels)
        if field.transcribe:
            segment["text"] = _transcript(field, item.get("text", ""))
        checked.append(segment)
    return sorted(checked, key=lambda segment: (segment["start_ms"], segment["end_ms"]))


def _transcript(field: SegmentsField, text: Any) -> str:
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise AnswerError("text_expected", "The answer to “{field}” must be a text.", field=field)
    return clean(text)


def frames(field: FramesField, answer: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    length = medium(data, field.source, "video").get("duration_ms")
    checked = []
    for item in marks(field, answer):
        at = item.get("at_ms")
        if not _is_whole(at) or at < 0:
            raise AnswerError("bad_frame", "A frame of “{field}” needs its moment in whole milliseconds.", field=field)
        checked.append({"id": item["id"], "at_ms": _moment(field, at, length), "label": label_of(field, item, field.labels)})
    return sorted(checked, key=lambda frame: frame["at_ms"])


def _moment(field: Question, moment: int, length: Any) -> int:
    if not is_number(length) or length <= 0:
        return moment
    if moment > length + END_TOLERANCE_MS:
        raise AnswerError(
            "after_the_end", "A mark of “{field}” lies at {moment} ms, after the end at {length} ms.",
            field=field, moment=moment, length=int(length),
        )  # fmt: skip
    return min(moment, int(length))


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return str(value)[:40]

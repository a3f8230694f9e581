"""Label Studio's and LabelU's own files: what they know of annotations in their words, the rest beside it."""

from collections.abc import Callable, Iterator
from typing import Any

from workers.data.formats.base import Loss
from workers.data.formats.labelstudio import about_corner
from workers.data.formats.regions import number
from workers.data.formats.turns import OURS
from workers.data.writers.base import Counts, Row, left_out
from workers.data.writers.conversations import content_of
from workers.spec.record import Record

Result = dict[str, Any]


def labelstudio_rows(record: Record) -> Iterator[Row]:
    content = content_of(record)
    results: list[Result] = []
    kept: list[dict[str, Any]] = []
    for item in content.get("annotations", []):
        made = _results(item, content) if all(item["q"] != other["q"] for other in kept) else None
        results += made or []
        kept.append({**item, "value": None} if made else item)
    data: Row = {}
    if "text" in content:
        data["text"] = content["text"]
    for media in content.get("media", []):
        data.setdefault(media["kind"], media.get("url") or media.get("name") or media.get("sha256"))
    data[OURS] = {**content, "annotations": kept} if kept else content
    row: Row = {"data": data}
    if kept:
        row["annotations"] = [{"result": results}]
    yield row


def _results(item: dict[str, Any], content: dict[str, Any]) -> list[Result]:
    """What Label Studio calls an answer; nothing where it has no word for it (or the answer is empty)."""
    make = _RESULTS.get(item["type"])
    source = {"regions": "image", "segments": "audio"}.get(item["type"], "text")
    common = {"from_name": item["q"], "to_name": source}
    return [{**common, **result} for result in make(item["value"])] if make else []


def _simple(kind: str, wrap: Callable[[Any], dict[str, Any]]) -> Callable[[Any], list[Result]]:
    return lambda value: [{"type": kind, "value": wrap(value)}]


def _choices(value: Any) -> list[Result]:
    chosen = value if isinstance(value, list) else [value]
    several = {"several": True} if isinstance(value, list) and len(value) == 1 else {}
    return [{"type": "choices", "value": {"choices": chosen, **several}}] if chosen else []


def _spans(value: Any) -> list[Result]:
    return [{"id": span["id"], "type": "labels", "value": {"start": span["start"], "end": span["end"], "text": span["text"],
                                                            "labels": [span["label"]]}} for span in value]  # fmt: skip


def _segments(value: Any) -> list[Result]:
    results: list[Result] = []
    for segment in value:
        times = {"start": segment["start_ms"] / 1000, "end": segment["end_ms"] / 1000}
        results.append({"id": segment["id"], "type": "labels", "value": {**times, "labels": [segment.get("label", "")]}})
        if segment.get("text") is not None:
            said = {**times, "text": [segment["text"]]}
            results.append({"id": segment["id"], "type": "textarea", "value": said})
    return results


def _regions(value: Any) -> list[Result]:
    image = value.get("image") or {}
    if not image.get("w") or not image.get("h"):
        return []
    w, h = image["w"], image["h"]
    size = {"original_width": w, "original_height": h, "image_rotation": 0}
    return [{"id": region["id"], **size, **_region(region, w, h)} for region in value["regions"]]


def _region(region: dict[str, Any], w: int, h: int) -> Result:
    if region["kind"] == "polygon":
        points = [[100 * x / w, 100 * y / h] for x, y in region["points"]]
        return {"type": "polygonlabels", "value": {"points": points, "closed": True, "polygonlabels": [region["label"]]}}
    x, y = region["x"], region["y"]
    if region["kind"] == "point":
        spot = {"x": 100 * x / w, "y": 100 * y / h, "width": 0.3}
        return {"type": "keypointlabels", "value": {**spot, "keypointlabels": [region["label"]]}}
    degrees = region.get("rotation") or 0
    if degrees:
        x, y = about_corner(x, y, region["w"], region["h"], degrees)
    place = {"x": 100 * x / w, "y": 100 * y / h, "width": 100 * region["w"] / w, "height": 100 * region["h"] / h}
    return {"type": "rectanglelabels", "value": {**place, "rotation": degrees, "rectanglelabels": [region["label"]]}}


_RESULTS: dict[str, Callable[[Any], list[Result]]] = {
    "choice": _choices,
    "tree": _simple("taxonomy", lambda value: {"taxonomy": value}),
    "text": _simple("textarea", lambda value: {"text": [value]}),
    "number": _simple("number", lambda value: {"number": value}),
    "rating": _simple("rating", lambda value: {"rating": value}),
    "spans": _spans,
    "segments": _segments,
    "regions": _regions,
}


def labelstudio_losses(counts: Counts) -> Iterator[Loss]:
    yield Loss("no_files_within", "The files of {count} records are not part of the export.", counts.feature("stored_media"))


def labelu_rows(record: Record) -> Iterator[Row]:
    if not record.media or len(record.media) != 1:
        return
    content = content_of(record)
    media = content["media"][0]
    tools: dict[str, list[Result]] = {}
    kept: list[dict[str, Any]] = []
    for item in content.get("annotations", []):
        done = all(item["type"] != other["type"] or item["type"] in ("choice", "text") for other in kept)
        done = done and all(item["q"] != other["q"] for other in kept) and _add_tool(tools, item, media["kind"])
        kept.append({**item, "value": None} if done else item)
    sizes = {name: media[name] for name in ("width", "height") if name in media}
    yield {
        "sample_name": media.get("name") or media.get("url") or media.get("sha256"),
        "config": {},
        "meta_data": {**sizes, "rotate": 0},
        "annotations": {tool: {"toolName": tool, "result": result} for tool, result in tools.items()},
        OURS: {**content, "annotations": kept} if kept else content,
    }


def _add_tool(tools: dict[str, list[Result]], item: dict[str, Any], kind: str) -> bool:
    """Write an answer as LabelU's tools do; False where it has none for it."""
    value = item["value"]
    if item["type"] == "regions" and kind == "image" and value.get("image"):
        tools.setdefault("rectTool", [])
        for order, region in enumerate(value["regions"], start=1):
            tool, shape = _labelu_region(region)
            tools.setdefault(tool, []).append({"id": region["id"], "order": order, "label": region["label"], **shape})
    elif item["type"] in ("segments", "frames") and kind in ("audio", "video"):
        made = tools.setdefault(f"{kind}{'Segment' if item['type'] == 'segments' else 'Frame'}Tool", [])
        made += [_labelu_time(one, order, item["type"]) for order, one in enumerate(value, start=1)]
    elif item["type"] == "choice":
        several = {"several": True} if isinstance(value, list) and len(value) == 1 else {}
        chosen = value if isinstance(value, list) else [value]
        tools.setdefault("tagTool", []).append({"id": item["q"], "type": "tag", "value": {item["q"]: chosen}, **several})
    elif item["type"] == "text":
        tools.setdefault("textTool", []).append({"id": item["q"], "type": "text", "value": {item["q"]: value}})
    else:
        return False
    return True


def _labelu_region(region: dict[str, Any]) -> tuple[str, Result]:
    if region["kind"] == "polygon":
        return "polygonTool", {"points": [{"x": x, "y": y} for x, y in region["points"]]}
    if region["kind"] == "point":
        return "pointTool", {"x": region["x"], "y": region["y"]}
    turned = {"rotate": number(region["rotation"])} if region.get("rotation") else {}
    return "rectTool", {"x": region["x"], "y": region["y"], "width": region["w"], "height": region["h"], **turned}


def _labelu_time(one: dict[str, Any], order: int, kind: str) -> Result:
    said = {"text": one["text"]} if one.get("text") is not None else {}
    times = (
        {"start": one["start_ms"] / 1000, "end": one["end_ms"] / 1000} if kind == "segments" else {"time": one["at_ms"] / 1000}
    )
    return {"id": one["id"], "order": order, "label": one.get("label", ""), **times, **said}


def labelu_losses(counts: Counts) -> Iterator[Loss]:
    single = counts.feature("single_media")
    yield left_out("not_one_file", "{count} records are not one file each and are left out.", counts.total - single)
    yield Loss("no_files_within", "The files of {count} records are not part of the export.", counts.feature("stored_media"))

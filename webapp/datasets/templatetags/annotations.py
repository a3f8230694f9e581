"""Annotations as people read them: a line for each thing that was marked or said."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django import template

register = template.Library()
MOST_LINES = 200


@register.filter
def annotation_lines(item: Mapping[str, Any]) -> list[str]:
    """The value of an annotation in words; what has an unknown shape as JSON."""
    tell = _TOLD.get(item.get("type", ""))
    try:
        told = tell(item["value"]) if tell else None
    except (KeyError, TypeError, AttributeError):
        told = None
    return (told if told is not None else [json.dumps(item.get("value"), ensure_ascii=False)])[:MOST_LINES]


def _listed(value: Any) -> list[str]:
    return [", ".join(map(str, value))] if isinstance(value, list) else [str(value)]


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g}"


def _segment(part: Mapping[str, Any]) -> str:
    return (
        f"{_seconds(part['start_ms'])}–{_seconds(part['end_ms'])} s  {part.get('label', '')}  {part.get('text') or ''}".rstrip()
    )


_TOLD: dict[str, Callable[[Any], list[str]]] = {
    "choice": _listed,
    "text": lambda value: [str(value)],
    "number": _listed,
    "rating": _listed,
    "pairwise": _listed,
    "tree": lambda value: [" › ".join(map(str, path)) for path in value],
    "spans": lambda value: [f"{span['label']}: {span['text']}" for span in value],
    "relations": lambda value: [f"{one['from']} → {one['to']}: {one['label']}" for one in value],
    "regions": lambda value: [f"{index}. {region['label']}" for index, region in enumerate(value["regions"], start=1)],
    "segments": lambda value: list(map(_segment, value)),
    "frames": lambda value: [f"{_seconds(frame['at_ms'])} s  {frame.get('label', '')}" for frame in value],
    "ranking": lambda value: [" > ".join(" = ".join(map(str, level)) for level in value)],
    "response_rating": lambda value: [
        f"{name}: " + ", ".join(f"{dimension} {rating}" for dimension, rating in ratings.items())
        for name, ratings in value.items()
    ],
}


@register.filter
def outline(region: Mapping[str, Any]) -> str:
    """The points of a polygon as SVG wants them."""
    return " ".join(f"{x},{y}" for x, y in region.get("points", []))

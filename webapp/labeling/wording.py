"""Questions and answers in a few words, for lists."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from webapp.labeling.schema import labels_of

LABELS_SHOWN = 8
LONGEST = 140
TYPE_NAMES = {
    "choice": _("choices"),
    "tree": _("a tree of choices"),
    "text": _("a text"),
    "number": _("a number"),
    "rating": _("a rating"),
    "spans": _("parts of the text"),
    "relations": _("relations between parts of the text"),
    "regions": _("regions of the picture"),
    "segments": _("stretches of the recording"),
    "frames": _("moments of the film"),
    "ranking": _("an order of the answers"),
    "pairwise": _("the better of two answers"),
    "response_rating": _("ratings of the answers"),
    "dialogue": _("a conversation"),
    "trace": _("a verdict on each step"),
}


def described_fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions with the name of their type and the labels that they offer."""
    return [
        {**field, "type_name": TYPE_NAMES[field["type"]], "offered": field.get("choices") or _labels(field)}
        for field in schema["fields"]
    ]


def _labels(field: dict[str, Any]) -> list[dict[str, Any]]:
    given = field.get("labels") or field.get("verdicts") or field.get("nodes") or []
    return [one for one in given if isinstance(one, dict)]


def in_short(value: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """{"labels": ["card", "person × 2"], "texts": ["…"]} of an annotation's value."""
    counts = labels_of(value).most_common(LABELS_SHOWN)
    labels = [label if times == 1 else f"{label} × {times}" for (_question, label), times in counts]
    texts = [text for answer in value if (text := _words(answer["type"], answer["value"]))]
    return {"labels": labels, "texts": [text[:LONGEST] for text in texts]}


def _words(kind: str, value: Any) -> str:
    if kind in {"text", "number"}:
        return str(value)
    if kind == "ranking":
        return " > ".join(" = ".join(place) for place in value)
    if kind == "response_rating":
        return "; ".join(
            f"{name}: {', '.join(f'{key} {points}' for key, points in given.items())}" for name, given in value.items()
        )
    if kind == "dialogue":
        return ngettext("%(n)s turn", "%(n)s turns", len(value)) % {"n": len(value)}
    if kind == "segments":
        return " ".join(segment["text"] for segment in value if segment.get("text"))
    return ""

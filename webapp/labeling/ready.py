"""The questions of the ready-made jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webapp.core.errors import UserError
from webapp.labeling.schema import ANSWER_SOURCE

CLASSIFICATION, ANSWER = "classification", "answer"


@dataclass(frozen=True)
class Wanted:
    """What a preset is fitted to."""

    labels: Sequence[str]
    question: str = ""
    propose: bool = False
    multiple: bool = False


@dataclass(frozen=True)
class Preset:
    """`fits`: the kind of record or modality that it is meant for. `labels`: whether it takes a list of labels."""

    name: str
    title: str | Promise
    description: str | Promise
    icon: str
    fits: str
    build: Callable[[Wanted], list[dict[str, Any]]]
    labels: bool = False


def _classification(wanted: Wanted) -> list[dict[str, Any]]:
    if len(wanted.labels) < 2:
        raise UserError(
            "label.too_few_labels", "The records have no labels to propose; type at least two, one a line.", status=422
        )
    field = {"name": "label", "type": "choice", "label": wanted.question or _("Which label fits?"), "multiple": wanted.multiple}
    return [{**field, "choices": list(wanted.labels), **({"source": "label"} if wanted.propose else {})}]


def _answer(wanted: Wanted) -> list[dict[str, Any]]:
    return [{"name": "answer", "type": "text", "label": wanted.question or _("The best answer"), "source": ANSWER_SOURCE}]


def _dialogue(wanted: Wanted) -> list[dict[str, Any]]:
    return [{"name": "dialogue", "type": "dialogue", "label": wanted.question or _("Write the conversation as it should be")}]


def _dialogue_review(wanted: Wanted) -> list[dict[str, Any]]:
    verdicts = [("good", _("Good as it is")), ("corrected", _("Good after my corrections")), ("unusable", _("Unusable"))]
    return [
        {"name": "verdict", "type": "choice", "label": wanted.question or _("How good is this conversation?"),
         "choices": [{"value": value, "label": label} for value, label in verdicts]},
        {"name": "dialogue", "type": "dialogue", "label": _("Correct it"), "when": {"field": "verdict", "is": "corrected"}},
        {"name": "reason", "type": "text", "label": _("What is wrong?"), "when": {"field": "verdict", "is": "unusable"}},
    ]  # fmt: skip


def _ranking(wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {"name": "ranking", "type": "ranking", "label": wanted.question or _("Order the answers, the best first")},
        {"name": "reason", "type": "text", "label": _("Why?"), "required": False},
    ]


def _pairwise(wanted: Wanted) -> list[dict[str, Any]]:
    return [{"name": "preference", "type": "pairwise", "label": wanted.question or _("Which answer is better?")}]


def _response_rating(wanted: Wanted) -> list[dict[str, Any]]:
    dimensions = [
        {"name": "helpful", "label": _("Helpful")},
        {"name": "true", "label": _("True")},
        {"name": "harmless", "label": _("Harmless")},
    ]
    label = wanted.question or _("Rate each answer")
    return [{"name": "ratings", "type": "response_rating", "label": label, "dimensions": dimensions}]


def _entities(wanted: Wanted) -> list[dict[str, Any]]:
    labels = list(wanted.labels) or [_("person"), _("organisation"), _("place"), _("time")]
    label = wanted.question or _("Mark the names")
    return [{"name": "entities", "type": "spans", "label": label, "labels": labels, "required": False, "source": "text"}]


def _relations(wanted: Wanted) -> list[dict[str, Any]]:
    links = [_("works for"), _("lies in"), _("belongs to")]
    relations = {"name": "relations", "type": "relations", "label": _("Connect them"), "spans": "entities", "labels": links}
    return [*_entities(wanted), {**relations, "required": False}]


def _detection(wanted: Wanted) -> list[dict[str, Any]]:
    labels = list(wanted.labels) or [_("object")]
    field = {"name": "objects", "type": "regions", "label": wanted.question or _("Mark the objects"), "labels": labels}
    return [{**field, "tools": ["box", "polygon", "point"], "required": False}]


def _caption(wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {"name": "caption", "type": "text", "label": wanted.question or _("Describe the picture"), "source": "media.0.caption"}
    ]


def _transcription(wanted: Wanted) -> list[dict[str, Any]]:
    labels = list(wanted.labels) or [_("speech"), _("noise")]
    label = wanted.question or _("Mark who speaks when, and write what is said")
    return [{"name": "speech", "type": "segments", "label": label, "labels": labels, "transcribe": True, "media": "audio"}]


def _video(wanted: Wanted) -> list[dict[str, Any]]:
    labels = list(wanted.labels) or [_("action"), _("scene")]
    label = wanted.question or _("Mark what happens when")
    moments = {"name": "moments", "type": "frames", "label": _("Single moments"), "labels": labels, "required": False}
    return [
        {"name": "segments", "type": "segments", "label": label, "labels": labels, "media": "video", "required": False},
        moments,
    ]


def _trace(wanted: Wanted) -> list[dict[str, Any]]:
    verdicts = [("right", _("right")), ("wrong", _("wrong")), ("unneeded", _("unneeded"))]
    solved = [("yes", _("Yes")), ("partly", _("Partly")), ("no", _("No"))]
    return [
        {"name": "steps", "type": "trace", "label": wanted.question or _("Judge each step"),
         "verdicts": [{"value": value, "label": label} for value, label in verdicts]},
        {"name": "solved", "type": "choice", "label": _("Was the task solved?"),
         "choices": [{"value": value, "label": label} for value, label in solved]},
    ]  # fmt: skip


READY_MADE = {
    preset.name: preset
    for preset in (
        Preset(
            CLASSIFICATION,
            gettext_lazy("Choose a label"),
            gettext_lazy("Intents, topics, sentiments: one label for each text."),
            "tags",
            "text",
            _classification,
            labels=True,
        ),
        Preset(
            ANSWER,
            gettext_lazy("Write or correct an answer"),
            gettext_lazy("The last answer of a conversation, for fine-tuning."),
            "pencil",
            "conversation",
            _answer,
        ),
        Preset(
            "dialogue",
            gettext_lazy("Write or edit conversations"),
            gettext_lazy("Every turn can be changed, added, moved, and marked as learnt or not."),
            "messages",
            "conversation",
            _dialogue,
        ),
        Preset(
            "dialogue_review",
            gettext_lazy("Review conversations"),
            gettext_lazy("Keep, correct or throw out."),
            "checks",
            "conversation",
            _dialogue_review,
        ),
        Preset(
            "ranking",
            gettext_lazy("Rank answers"),
            gettext_lazy("Several answers to one question, best first, ties allowed; becomes preference pairs."),
            "list-numbers",
            "responses",
            _ranking,
        ),
        Preset(
            "pairwise",
            gettext_lazy("Compare two answers"),
            gettext_lazy("A, B, equal, or both bad."),
            "scale",
            "responses",
            _pairwise,
        ),
        Preset(
            "response_rating",
            gettext_lazy("Rate answers"),
            gettext_lazy("Helpful, true, harmless: points for each answer."),
            "star",
            "responses",
            _response_rating,
        ),
        Preset(
            "entities",
            gettext_lazy("Mark names in texts"),
            gettext_lazy("Persons, places, products: spans with a label."),
            "highlight",
            "text",
            _entities,
            labels=True,
        ),
        Preset(
            "relations",
            gettext_lazy("Mark names and how they relate"),
            gettext_lazy("Spans, and arrows between them."),
            "arrows-exchange",
            "text",
            _relations,
            labels=True,
        ),
        Preset(
            "detection",
            gettext_lazy("Mark objects in pictures"),
            gettext_lazy("Boxes, polygons and points with a label."),
            "photo",
            "image",
            _detection,
            labels=True,
        ),
        Preset(
            "caption",
            gettext_lazy("Describe pictures"),
            gettext_lazy("A sentence or two for each picture."),
            "text-caption",
            "image",
            _caption,
        ),
        Preset(
            "transcription",
            gettext_lazy("Transcribe recordings"),
            gettext_lazy("Stretches of sound with who speaks and what is said."),
            "microphone",
            "audio",
            _transcription,
            labels=True,
        ),
        Preset(
            "video",
            gettext_lazy("Mark stretches of film"),
            gettext_lazy("Actions and scenes from when to when, and single moments."),
            "movie",
            "video",
            _video,
            labels=True,
        ),
        Preset(
            "trace",
            gettext_lazy("Judge tool calls"),
            gettext_lazy("A verdict on every step of an agent."),
            "tool",
            "conversation",
            _trace,
        ),
    )
}

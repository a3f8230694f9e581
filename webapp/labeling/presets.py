"""Ready-made questions for the two common jobs, fitted to the records of a version."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.labeling.schema import ANSWER_SOURCE, MOST_CHOICES

CLASSIFICATION, ANSWER = "classification", "answer"
PRESETS = (CLASSIFICATION, ANSWER)


def preset_for(version: DatasetVersion) -> str:
    """What is most likely wanted: answers for conversations, labels for texts."""
    kinds = version.stats.get("kinds", {})
    return ANSWER if kinds.get("conversation", 0) > version.count / 2 else CLASSIFICATION


def proposed_labels(version: DatasetVersion) -> list[str]:
    """The labels that the records have already, most frequent first."""
    counts: dict[str, int] = version.stats.get("labels", {})
    return sorted(counts, key=lambda label: (-counts[label], label))[:MOST_CHOICES]


def read_labels(text: str) -> list[str]:
    """Labels typed one a line, or separated by commas when they stand on one line; repeats are dropped."""
    lines = text.splitlines() if "\n" in text.strip() else text.replace("，", ",").split(",")
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))


def make_schema(
    preset: str,
    version: DatasetVersion,
    *,
    labels: Sequence[str] = (),
    question: str = "",
    propose: bool = False,
    multiple: bool = False,
) -> dict[str, Any]:
    """The questions of a preset. `propose`: show the label that a record has as the answer to confirm."""
    if preset == CLASSIFICATION:
        choices = list(labels) or proposed_labels(version)
        if len(choices) < 2:
            raise UserError(
                "label.too_few_labels", "The records have no labels to propose; type at least two, one a line.", status=422
            )
        return {
            "fields": [
                {
                    "name": "label",
                    "type": "choice",
                    "label": question or _("Which label fits?"),
                    "choices": [{"value": choice} for choice in choices],
                    "multiple": multiple,
                    "required": True,
                    **({"source": "label"} if propose else {}),
                }
            ]
        }
    if preset == ANSWER:
        field = {"name": "answer", "type": "text", "label": question or _("The best answer"), "required": True}
        return {"fields": [{**field, "source": ANSWER_SOURCE}]}
    raise UserError(
        "label.unknown_preset", "There is no preset “{preset}”; choose one of {known}.",
        status=422, preset=preset, known=", ".join(PRESETS),
    )  # fmt: skip

"""Ready-made questions for common jobs, fitted to the records of a version."""

from collections.abc import Sequence
from typing import Any

from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.labeling.ready import ANSWER, CLASSIFICATION, READY_MADE, Preset, Wanted
from webapp.labeling.schema import MOST_CHOICES, checked_schema

__all__ = [
    "ANSWER",
    "CLASSIFICATION",
    "PRESETS",
    "fitting_presets",
    "make_schema",
    "preset_for",
    "proposed_labels",
]

PRESETS = tuple(READY_MADE)


def preset_for(version: DatasetVersion) -> str:
    """What is most likely wanted: by the modality, answers for conversations, labels for texts."""
    modalities = version.stats.get("modalities", {})
    for modality, preset in (("image", "detection"), ("audio", "transcription"), ("video", "video")):
        if modalities.get(modality, 0) > version.count / 2:
            return preset
    kinds = version.stats.get("kinds", {})
    return ANSWER if kinds.get("conversation", 0) > version.count / 2 else CLASSIFICATION


def proposed_labels(version: DatasetVersion) -> list[str]:
    """The labels that the records have already, most frequent first."""
    counts: dict[str, int] = version.stats.get("labels", {})
    return sorted(counts, key=lambda label: (-counts[label], label))[:MOST_CHOICES]


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
    found = READY_MADE.get(preset)
    if found is None:
        raise UserError(
            "label.unknown_preset", "There is no preset “{preset}”; choose one of {known}.",
            status=422, preset=preset, known=", ".join(PRESETS),
        )  # fmt: skip
    proposed = proposed_labels(version) if preset == CLASSIFICATION and not labels else list(labels)
    return checked_schema({"fields": found.build(Wanted(proposed, question, propose, multiple))})


def fitting_presets(version: DatasetVersion) -> list[Preset]:
    """All presets, those that fit the records first."""
    first = preset_for(version)
    fits = READY_MADE[first].fits
    return sorted(READY_MADE.values(), key=lambda preset: (preset.name != first, preset.fits != fits))


def described(preset: Preset, version: DatasetVersion) -> dict[str, Any]:
    """A preset as pages and the API show it."""
    try:
        schema = make_schema(preset.name, version)
    except UserError:
        schema = None
    return {
        "name": preset.name,
        "title": str(preset.title),
        "description": str(preset.description),
        "icon": preset.icon,
        "takes_labels": preset.labels,
        "fits": preset.fits,
        "questions": schema,
    }

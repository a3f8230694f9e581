"""From settings to stages."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workers.data.processing.outcome import Stage
from workers.spec.processing import StageName, Stages

if TYPE_CHECKING:
    from workers.data.processing.extraction import MediaFiles

Maker = Callable[[], Stage]


def assemble(
    stages: Stages, *, media: "MediaFiles | None", sets: Mapping[str, Path], threads: int = 1, seconds: float = 30.0
) -> list[tuple[str, Maker]]:
    """(name, maker) of the stages that are switched on, in order. `sets`: evaluation sets by name; `seconds` for a document."""
    makers: dict[StageName, Maker] = {
        "language": partial(_language, stages),
        "extraction": partial(_extraction, stages, media, seconds),
        "normalisation": partial(_normalisation, stages),
        "rules": partial(_rules, stages),
        "quality": partial(_quality, stages),
        "deduplication": partial(_deduplication, stages, threads),
        "personal": partial(_personal, stages),
        "decontamination": partial(_decontamination, stages, sets),
    }
    return [(name, makers[name]) for name in stages.active()]


def _language(stages: Stages) -> Stage:
    from workers.data.processing.screening import Screening

    return Screening(stages.language, documents_follow=stages.extraction.on)


def _extraction(stages: Stages, media: "MediaFiles | None", seconds: float) -> Stage:
    from workers.data.processing.extraction import Extraction
    from workers.data.processing.screening import Screening

    screening = Screening(stages.language, documents_follow=False) if stages.language.on else None
    return Extraction(stages.extraction, media, screening, seconds)


def _normalisation(stages: Stages) -> Stage:
    from workers.data.processing.normalisation import Normalisation

    return Normalisation(stages.normalisation)


def _rules(stages: Stages) -> Stage:
    from workers.data.processing.rules import Rules

    return Rules(stages.rules)


def _quality(stages: Stages) -> Stage:
    from workers.data.processing.quality import Quality

    return Quality(stages.quality)


def _deduplication(stages: Stages, threads: int) -> Stage:
    from workers.data.processing.deduplication import Deduplication

    return Deduplication(stages.deduplication, threads)


def _personal(stages: Stages) -> Stage:
    from workers.data.processing.personal import Personal

    return Personal(stages.personal)


def _decontamination(stages: Stages, sets: Mapping[str, Path]) -> Stage:
    from workers.data.processing.decontamination import Decontamination

    return Decontamination(stages.decontamination, sets)

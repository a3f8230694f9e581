"""How jobs are said on pages: their kind, the phase they are in, and what they were asked to do."""

from typing import Any

from django import template
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

from webapp.core.errors import NotFound
from webapp.core.templatetags.numbers import duration, percent
from webapp.jobs.kinds import get_kind
from webapp.jobs.models import Job

register = template.Library()

PHASES = {
    "starting": noop("Starting"),
    "reading": noop("Reading the data"),
    "loading": noop("Loading"),
    "tokenising": noop("Splitting into tokens"),
    "training": noop("Learning"),
    "asking": noop("Asking the questions"),
    "checking": noop("Checking"),
    "scoring": noop("Scoring"),
    "downloading": noop("Downloading"),
    "copying": noop("Copying"),
    "merging": noop("Merging"),
    "converting": noop("Converting"),
    "packing": noop("Packing"),
    "saving": noop("Saving"),
    "language": noop("Language screening"),
    "extraction": noop("Text extraction"),
    "normalisation": noop("Normalisation"),
    "rules": noop("Rule filters"),
    "quality": noop("Quality score"),
    "deduplication": noop("De-duplication"),
    "personal": noop("Personal data"),
    "decontamination": noop("Decontamination"),
}


@register.filter
def phase_label(phase: str) -> str:
    """A phase in the reader's language; one that a program invents shows as it is."""
    return gettext(PHASES[phase]) if phase in PHASES else phase


@register.filter
def kind_label(name: str) -> str:
    """What a kind of job is called; a kind that no longer exists keeps its name."""
    try:
        return str(get_kind(name).label)
    except NotFound:
        return name


@register.filter
def progress_words(job: Job) -> str:
    """15 % · 1 min 31 s left."""
    share = percent(job.progress, 0)
    if job.eta_seconds is None:
        return share
    return gettext("%(share)s · %(time)s left") % {"share": share, "time": duration(job.eta_seconds)}


@register.filter
def spec_lines(value: Any) -> list[str]:
    """A value of a specification as lines to read: nested settings one a line, what is not set left out."""
    if isinstance(value, dict):
        return [f"{key}: {_said(item)}" for key, item in sorted(value.items()) if item is not None]
    return [_said(value)]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)

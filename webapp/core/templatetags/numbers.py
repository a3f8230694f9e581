"""Template filters for figures that people read: bytes, counts, durations."""

from django import template
from django.utils.translation import gettext, ngettext

register = template.Library()
STEP = 1024
UNITS = ["B", "KB", "MB", "GB", "TB"]


@register.filter
def bytesize(value: float | None) -> str:
    """1536 → 1.5 KB."""
    if value is None:
        return "–"
    size = float(value)
    for unit in UNITS[:-1]:
        if abs(size) < STEP:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= STEP
    return f"{size:.1f} {UNITS[-1]}"


@register.filter
def compact(value: float | None) -> str:
    """1234567 → 1.2 M; small whole numbers stay as they are."""
    if value is None:
        return "–"
    for limit, suffix in ((1e9, " B"), (1e6, " M"), (1e4, " K")):
        if abs(value) >= limit:
            return f"{value / (1e3 if limit == 1e4 else limit):.1f}{suffix}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


@register.filter
def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


@register.filter
def duration(seconds: float | None) -> str:
    """75 → 1 min 15 s."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return gettext("%(s)s s") % {"s": whole}
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return gettext("%(m)s min %(s)s s") % {"m": minutes, "s": rest}
    hours, minutes = divmod(minutes, 60)
    return ngettext("%(h)s h %(m)s min", "%(h)s h %(m)s min", hours) % {"h": hours, "m": minutes}

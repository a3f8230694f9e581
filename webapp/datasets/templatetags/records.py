"""How records are shown in lists: a piece of their words, with what was searched for marked."""

import re
from collections.abc import Sequence

from django import template
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from webapp.datasets.filtering import FACET_NAMES, value_name

register = template.Library()
BEFORE = 60
SAME_SHOWN = 120


@register.simple_tag
def excerpt(text: str, words: Sequence[str] = (), length: int = 180) -> SafeString:
    """`length` characters around the first word that was found, all words in <mark>."""
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE) if words else None
    first = pattern.search(text) if pattern else None
    start = max(0, first.start() - BEFORE) if first and first.end() > length else 0
    shown = text[start : start + length].strip()
    shown = ("…" if start else "") + shown + ("…" if start + length < len(text) else "")
    if pattern is None:
        return escape(shown)
    pieces, end = [], 0
    for match in pattern.finditer(shown):
        pieces.append((shown[end : match.start()], match.group()))
        end = match.end()
    return format_html("{}{}", format_html_join("", "{}<mark>{}</mark>", pieces), shown[end:])


@register.filter
def facet_value(value: str, facet: str) -> str:
    """A value of a facet in the reader's words."""
    return value_name(facet, value)


@register.filter
def facet_name(facet: str) -> str:
    return str(FACET_NAMES.get(facet, facet))


@register.filter
def shorten_same(text: str) -> str:
    """The middle of a long passage that did not change is left out."""
    return text if len(text) <= 2 * SAME_SHOWN else f"{text[:SAME_SHOWN]} … {text[-SAME_SHOWN:]}"

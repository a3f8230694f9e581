"""Errors for people: UserError with its translation, and the one JSON shape that the API answers with."""

from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext

from webapp.core.library_words import explain, explained
from workers.spec.errors import UserError

__all__ = ["NotFound", "UserError", "error_body", "error_html", "folded", "translate"]

FOLDED = ("detail", "trouble")
"""Parameters whose words are shown in a fold when nobody has put them into ours."""


class NotFound(UserError):
    """The thing is not there, or the asker may not know that it is: strangers get the same answer."""

    def __init__(self, code: str = "not_found", template: str = "There is nothing here, or you may not see it.") -> None:
        super().__init__(code, template, status=404)


def translate(template: str, params: dict[str, Any]) -> str:
    """The sentence in the reader's language; a translation that lacks a parameter falls back to English."""
    if not template:
        return ""
    try:
        return gettext(template).format(**explained(params)) if params else gettext(template)
    except (KeyError, IndexError):
        return template


def folded(template: str, params: dict[str, Any]) -> tuple[str, str]:
    """The sentence for a page, and the words of a library that were taken out of it (empty: there were none)."""
    foreign = {name: str(params[name]) for name in FOLDED if params.get(name) and explain(str(params[name])) is None}
    if not foreign:
        return translate(template, params), ""
    see = gettext("see the technical details")
    return translate(template, {**params, **dict.fromkeys(foreign, see)}), "\n".join(foreign.values())


def error_html(template: str, params: dict[str, Any]) -> str:
    """The sentence for a page, a library's own words in a fold behind it; empty when there is no error."""
    sentence, details = folded(template, params)
    if not details:
        return sentence
    return format_html(
        '{}<details class="technical"><summary>{}</summary><pre class="log">{}</pre></details>',
        sentence,
        gettext("Technical details"),
        details,
    )


def error_body(error: UserError) -> dict[str, Any]:
    return {
        "error": {"code": error.code, "message": translate(error.template, error.params), "details": error.params},
    }

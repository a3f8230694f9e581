"""Errors for people: UserError with its translation, and the one JSON shape that the API answers with."""

from typing import Any

from django.utils.translation import gettext

from workers.spec.errors import UserError

__all__ = ["NotFound", "UserError", "error_body", "translate"]


class NotFound(UserError):
    """The thing is not there, or the asker may not know that it is: strangers get the same answer."""

    def __init__(self, code: str = "not_found", template: str = "There is nothing here, or you may not see it.") -> None:
        super().__init__(code, template, status=404)


def translate(template: str, params: dict[str, Any]) -> str:
    """The sentence in the reader's language; a translation that lacks a parameter falls back to English."""
    if not template:
        return ""
    try:
        return gettext(template).format(**params) if params else gettext(template)
    except (KeyError, IndexError):
        return template


def error_body(error: UserError) -> dict[str, Any]:
    return {
        "error": {"code": error.code, "message": translate(error.template, error.params), "details": error.params},
    }

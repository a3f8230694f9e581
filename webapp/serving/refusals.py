"""What an engine refuses, told to a person: engines speak the API's English, pages the reader's language."""

from typing import Any

from webapp.core.errors import UserError

TOO_LONG = "context_length_exceeded"


def refusal(error: dict[str, Any], name: str) -> UserError:
    """The error for an OpenAI error object (message, code) that the engine of deployment `name` answered with."""
    said, code = str(error.get("message") or "")[:500], error.get("code")
    if code == TOO_LONG:
        return UserError(
            "chat.too_long",
            "This is longer than “{name}” can read; shorten the message, or begin a new conversation.",
            name=name,
            said=said,
        )
    if code == "engine_overloaded":
        return UserError("chat.engine_busy", "“{name}” is busy with other requests; try again soon.", status=503, name=name)
    return UserError(
        "chat.engine_refused",
        "“{name}” could not answer ({detail}); try again or choose another model.",
        name=name,
        detail=said,
    )

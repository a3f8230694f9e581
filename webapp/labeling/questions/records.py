"""What a record holds for a question: the text, the picture, the sound or the responses that it asks about."""

from typing import Any

from webapp.labeling.questions.fields import ANSWER_SOURCE
from workers.data.preferences import compared_answers


def at_source(data: dict[str, Any], source: str | None) -> Any:
    """What stands at a dotted path (`text`, `extra.note`, `messages.0.content`, `annotations.<question>`); None: nothing."""
    if not source:
        return None
    if source == ANSWER_SOURCE:
        answers = [turn for turn in data.get("messages") or [] if turn.get("role") == "assistant"]
        return answers[-1].get("content") if answers else None
    if source == "responses":
        return compared_answers(data) or None
    if source.startswith("annotations."):
        wanted = source.partition(".")[2]
        return next((answer.get("value") for answer in data.get("annotations") or [] if answer.get("q") == wanted), None)
    found: Any = data
    for step in source.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def text_at(data: dict[str, Any], source: str | None) -> str:
    found = at_source(data, source or "text")
    return found if isinstance(found, str) else ""


def responses_at(data: dict[str, Any], source: str | None) -> list[str]:
    """Ids of what is compared; things without an id are called by their place: 0, 1, …"""
    found = at_source(data, source or "responses")
    if not isinstance(found, list):
        return []
    return [str(item["id"]) if isinstance(item, dict) and "id" in item else str(index) for index, item in enumerate(found)]


def medium(data: dict[str, Any], source: str | None, kind: str) -> dict[str, Any]:
    """The picture, sound or film that is asked about; empty when the record has none."""
    media = [item for item in data.get("media") or [] if isinstance(item, dict)]
    if source:
        index = source.removeprefix("media.")
        return media[int(index)] if index.isdecimal() and int(index) < len(media) else {}
    return next((item for item in media if item.get("kind") == kind), {})

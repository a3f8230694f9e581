"""Turns of a conversation in the spellings of the formats (role / content, from / value) to canonical messages and back."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from workers.data.formats.base import content_error
from workers.data.formats.json_values import parse
from workers.data.media_files import kind_of
from workers.spec.errors import UserError
from workers.spec.record import Media

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
OURS = "record"
"""The key below which exports keep what a format has no place for."""
_CALLS = {"function_call", "tool_call"}
_MEDIA = {
    "image_url": "image",
    "image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "video_url": "video",
    "video": "video",
}


def messages_from(value: Any, media: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Canonical messages. What is no text in them is appended to `media`."""
    if isinstance(value, str):
        value = _json_list(value)
    if not isinstance(value, list) or not value:
        raise content_error("no_messages", "The conversation is empty or no list of turns.")
    messages: list[dict[str, Any]] = []
    for number, item in enumerate(value, start=1):
        message = _message(number, item, media)
        previous = messages[-1] if messages else None
        only_calls = message.get("tool_calls") and not message["content"]
        if previous and previous["role"] == "assistant" and "tool_calls" not in previous and only_calls:
            messages[-1] = {**message, **previous}  # words and then a call are one turn
        else:
            messages.append(message)
    if not any(message["content"].strip() or message.get("tool_calls") for message in messages):
        raise content_error("no_content", "All turns of the conversation are empty.")
    return messages


def _json_list(text: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise content_error("no_messages", "The conversation is no valid JSON: {detail}.", detail=error.msg) from error


def _message(number: int, item: Any, media: list[dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise content_error("bad_turn", "Turn {turn} is no object with a role and a content.", turn=number)
    named = item.get("role", item.get("from"))
    role = ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        raise content_error(
            "bad_role",
            "Turn {turn} has the role «{role}»; known are system, user, assistant and tool.",
            turn=number,
            role=str(named),
        )
    content = text_of(item.get("content", item.get("value")), media, number)
    message: dict[str, Any] = {"role": role, "content": content}
    if named in _CALLS:
        message.update(content="", tool_calls=calls_from(content, number))
    if item.get("tool_calls"):
        message["tool_calls"] = calls_from(item["tool_calls"], number)
    elif item.get("function_call"):
        message["tool_calls"] = calls_from(item["function_call"], number)
    for name in ("name", "tool_call_id"):
        if isinstance(item.get(name), str):
            message[name] = item[name]
    learnt = item.get("train", item.get("loss", item.get("weight")))
    if learnt is not None:
        message["train"] = bool(learnt)
    return message


def text_of(value: Any, media: list[dict[str, Any]], number: int = 1) -> str:
    """The words of a content, which may be a list of parts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return json.dumps(value)
    if isinstance(value, list):
        words = []
        for part in value:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "text" or isinstance(part, str):
                words.append(part if isinstance(part, str) else str(part.get("text", "")))
            elif kind in _MEDIA:
                media.append(media_item(_MEDIA[kind], part.get(kind)))
                words.append(f"<{_MEDIA[kind]}>")
            else:
                raise content_error("bad_part", "Turn {turn} has a part that is neither text nor media.", turn=number)
        return "\n".join(words)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    raise content_error("bad_turn", "Turn {turn} is no object with a role and a content.", turn=number)


def calls_from(value: Any, number: int) -> list[dict[str, Any]]:
    """Tool calls as `{"type": "function", "function": {"name", "arguments": object}}`, with `id` where given."""
    if isinstance(value, str):
        try:
            value = parse(value)
        except (json.JSONDecodeError, UserError) as error:
            raise content_error("bad_call", "The tool call in turn {turn} is no valid JSON.", turn=number) from error
    calls = []
    for item in value if isinstance(value, list) else [value]:
        function = item.get("function", item) if isinstance(item, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise content_error("bad_call", "The tool call in turn {turn} has no name.", turn=number)
        call: dict[str, Any] = {"type": "function"}
        if isinstance(item.get("id"), str):
            call["id"] = item["id"]
        call["function"] = {"name": function["name"], "arguments": _arguments(function)}
        calls.append(call)
    return calls


def _arguments(function: Mapping[str, Any]) -> Any:
    given = function.get("arguments", function.get("parameters", {}))
    if isinstance(given, str):
        try:
            parsed = parse(given) if given.strip() else {}
        except (json.JSONDecodeError, UserError):
            return given
        return parsed if isinstance(parsed, dict) else given
    return {} if given is None else given


def tools_from(value: Any) -> list[dict[str, Any]] | None:
    """Tool descriptions as `{"type": "function", "function": {…}}`; a JSON text is read."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = parse(value)
        except json.JSONDecodeError as error:
            raise content_error("bad_tools", "The list of tools is no valid JSON: {detail}.", detail=error.msg) from error
    if not value:
        return None
    tools = value if isinstance(value, list) else [value]
    if not all(isinstance(tool, Mapping) for tool in tools):
        raise content_error("bad_tools", "The list of tools holds something that is no object.")
    return [dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)} for tool in tools]


def answers_from(value: Any, media: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """A chosen or rejected answer, which may be a text, one turn or a list of turns."""
    if value is None:
        return None
    if isinstance(value, str):
        return [{"role": "assistant", "content": value}]
    return messages_from(value if isinstance(value, list) else [value], media)


_MEDIA_FIELDS = frozenset(Media.model_fields) - {"kind"}
_SIZES = ("width", "height", "duration_ms", "bytes")


def media_item(kind: str, given: Any) -> dict[str, Any]:
    """One file as `workers.spec.record.Media`: a path, an address, or an object with either."""
    if isinstance(given, str):
        given = {"url" if "://" in given[:16] or given.startswith("data:") else "name": given}
    if not isinstance(given, Mapping):
        raise content_error("bad_media", "A file of the record is neither a path nor an object.")
    item: dict[str, Any] = {"kind": kind}
    rest: dict[str, Any] = dict(given["extra"]) if isinstance(given.get("extra"), Mapping) else {}
    for name, value in given.items():
        field = "name" if name == "path" and "name" not in given else name
        if field in _SIZES and isinstance(value, str) and value.isdecimal():
            item[field] = int(value)
        elif field in _MEDIA_FIELDS and field != "extra":
            item[field] = value
        elif name not in ("extra", "kind"):
            rest[name] = value
    return {**item, "extra": rest} if rest else item


def media_columns(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Files named in the columns `images`, `audios`, `videos` (or one in `image`, …)."""
    found: list[dict[str, Any]] = []
    if _MEDIA_NAMES.isdisjoint(row):
        return found
    for kind in ("image", "audio", "video"):
        given = row.get(f"{kind}s", row.get(kind))
        found += [media_item(kind, item) for item in (given if isinstance(given, list) else [given] if given else [])]
    for column in PATH_COLUMNS:
        path = row.get(column)
        named = kind_of(path) if isinstance(path, str) else None
        if named:
            found.append(media_item(named, path))
    return found


PATH_COLUMNS = ("file_name", "image_path", "audio_path", "video_path", "audio_filepath")
MEDIA_COLUMNS = frozenset({"image", "images", "audio", "audios", "video", "videos"})
_MEDIA_NAMES = MEDIA_COLUMNS | set(PATH_COLUMNS)
_ALWAYS_TAKEN = frozenset({"id", "facets", "extra", "annotations"}) | MEDIA_COLUMNS


def verdict_from(row: Mapping[str, Any]) -> bool | None:
    """Whether the answer is a good one, in the columns that KTO trainers read; None when it is not told."""
    return next((row[name] for name in VERDICT_COLUMNS if isinstance(row.get(name), bool)), None)


VERDICT_COLUMNS = ("kto_tag", "label", "desirable")


def common_fields(row: Mapping[str, Any], used: Collection[str], media: list[dict[str, Any]]) -> dict[str, Any]:
    """The id, modality, media, facets, annotations and leftover columns of a row of which `used` is taken already."""
    media = media + media_columns(row)
    record: dict[str, Any] = {}
    if isinstance(row.get("id"), (str, int)) and str(row["id"]).strip():
        record["id"] = str(row["id"])
    if media:
        record["media"] = media
        record["modality"] = media[0]["kind"]
    if isinstance(row.get("facets"), Mapping):
        record["facets"] = dict(row["facets"])
    rest = dict(row["extra"]) if isinstance(row.get("extra"), Mapping) else {}
    annotations = row.get("annotations")
    if is_annotations(annotations):
        record["annotations"] = annotations
    elif annotations:
        rest["annotations"] = annotations
    for name, value in row.items():
        if name in used or name in _ALWAYS_TAKEN or value in (None, "", [], {}):
            continue
        if not (media and name in PATH_COLUMNS and isinstance(value, str) and kind_of(value)):
            rest[name] = value
    if rest:
        record["extra"] = rest
    return record


def is_annotations(value: Any) -> bool:
    """Whether a column holds annotations in our own shape."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and item.keys() == {"q", "type", "value"} for item in value)
    )

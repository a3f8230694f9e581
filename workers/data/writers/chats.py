"""MOSS, Guanaco, LabelLLM and WanJuan: each its own way to write turns and texts down."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from workers.data.formats.base import Loss
from workers.data.formats.guanaco import NAMES, TURN
from workers.data.formats.moss import ENDS, NOTHING
from workers.data.formats.turns import OURS
from workers.data.writers.base import Counts, Row, left_out, tags
from workers.data.writers.conversations import IRREGULAR, alternates, content_of, system_and_turns, turns_of
from workers.spec.record import Media, Message, Record


def moss_rows(record: Record) -> Iterator[Row]:
    system, turns = system_and_turns(turns_of(record) or [])
    chat = _moss_chat(turns) if record.messages is not None or turns else {}
    if chat:
        kept = tags(record)
        yield {**kept, "conversation_id": record.id, "meta_instruction": system, "num_turns": len(chat), "chat": chat}


def _moss_chat(turns: list[Message]) -> Row:
    """Each question begins a turn, with at most one call, one result and one answer after it; else nothing."""
    chat: Row = {}
    given: dict[str, str] = {}
    order = list(ENDS)
    for message in turns:
        if message.role == "user":
            given = {}
            chat[f"turn_{len(chat) + 1}"] = given
        parts = _moss_parts(message)
        if not parts or not chat or any(order.index(part) <= order.index(last) for part in parts for last in given):
            return {}
        given.update(parts)
    return {
        number: {name: f"<|{name}|>: {parts.get(name, NOTHING)}{end}\n" for name, end in ENDS.items()}
        for number, parts in chat.items()
    }


def _moss_parts(message: Message) -> dict[str, str]:
    if message.role != "assistant" or not message.tool_calls:
        part = {"user": "Human", "assistant": "MOSS", "tool": "Tool Responses"}.get(message.role)
        return {part: message.content} if part and message.content else {}
    function = message.tool_calls[0].get("function", {})
    arguments = function.get("arguments")
    if len(message.tool_calls) > 1 or not isinstance(arguments, dict):
        return {}
    plain = arguments.keys() == {"input"} and isinstance(arguments["input"], str)
    inside = f'"{arguments["input"]}"' if plain else json.dumps(arguments, ensure_ascii=False)
    thoughts = {"Inner Thoughts": message.content} if message.content else {}
    return {**thoughts, "Commands": f"{function.get('name')}({inside})"}


def guanaco_rows(record: Record) -> Iterator[Row]:
    system, turns = system_and_turns(turns_of(record) or [])
    if not alternates(turns) or turns[-1].role != "assistant" or any(TURN.search(turn.content) for turn in turns):
        return
    told = [("System", system)] if system else []
    told += [(NAMES[turn.role], turn.content.strip()) for turn in turns]
    yield {"text": "\n".join(f"### {name}: {content}" for name, content in told), OURS: tags(record)}


def labelllm_rows(record: Record) -> Iterator[Row]:
    messages = turns_of(record) or []
    if not messages or any(turn.role not in ("user", "assistant") or turn.tool_calls for turn in messages):
        return
    told: list[dict[str, Any]] = []
    for number, turn in enumerate(messages):
        kind = "send" if turn.role == "user" else "receive"
        told.append(_labelllm_turn(record, str(number), kind, turn.content, told[-1]["message_id"] if told else None))
    last = told[-1]["message_id"]
    for response in record.responses or []:
        told.append({"message_id": response.id, "parent_id": last, "message_type": "receive", "content": response.content})
    content = content_of(record)
    kept = {name: content[name] for name in content.keys() - {"messages", "text", "choices", "answer"} if name in content}
    if record.messages is None:
        kept.pop("label", None)
    asked = next((turn.content for turn in messages if turn.role == "user"), messages[0].content)
    yield {"prompt": asked, "conversation": told, "custom": {OURS: dict(sorted(kept.items()))}}


def _labelllm_turn(record: Record, number: str, kind: str, content: str, parent: str | None) -> dict[str, Any]:
    """Message ids are made from the record's, so that the same version is always written the same."""
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.id}/{number}"))
    return {"message_id": name, **({"parent_id": parent} if parent else {}), "message_type": kind, "content": content}


def wanjuan_rows(record: Record) -> Iterator[Row]:
    media = record.media or []
    if len(media) == 1 and media[0].kind == "video":
        yield _wanjuan_video(record, media[0])
    elif record.text is not None and all(item.kind == "image" and item.url for item in media) and record.choices is None:
        label: Row = {} if record.label is None else {"label": record.label}
        row: Row = {**tags(record, "annotations"), "content": _with_pictures(record.text, media), **label}
        if media:
            row["img_list"] = [_wanjuan_picture(item) for item in media]
        yield row


def _with_pictures(text: str, media: list[Media]) -> str:
    if text.count("<image>") > len(media):
        return text
    pictures = iter(media)
    return re.sub("<image>", lambda _mark: f"![]({next(pictures).url})", text)


def _wanjuan_picture(item: Media) -> Row:
    extra = dict(item.extra or {})
    row = {"url": item.url, "sha256": extra.pop("url_sha256", None), "caption": item.caption or ""}
    sizes = {name: str(value) for name, value in (("width", item.width), ("height", item.height)) if value is not None}
    return {**{name: value for name, value in row.items() if value is not None}, **sizes, **extra}


def _wanjuan_video(record: Record, item: Media) -> Row:
    row: Row = {**tags(record), "video": item.url or item.name or ""}
    if item.duration_ms is not None:
        row["duration_ms"] = item.duration_ms
    row["caption"] = item.caption or record.text or ""
    segments = next((found.value for found in record.annotations or [] if found.type == "segments"), None)
    return {**row, **({"segments": segments} if segments else {})}


def chat_losses(format: str, counts: Counts) -> Iterator[Loss]:
    if format == "wanjuan":
        yield left_out("not_wanjuan", "{count} records are no texts, linked pictures or single videos, and are left out.",
                       counts.total - counts.feature("wanjuan"))  # fmt: skip
        return
    turned = counts.feature("answered_text")
    yield left_out("only_text", "{count} records are no conversations and have no answer, and are left out.",
                   counts.total - counts.field("messages") - turned)  # fmt: skip
    yield Loss("turned", "{count} labelled texts or questions become a question and its answer.", turned)
    if format == "labelllm":
        yield left_out("not_labelllm", "{count} conversations have system or tool turns and are left out.",
                       counts.feature("system_or_tools"))  # fmt: skip
    elif format == "guanaco":
        yield left_out("tool_turns_out", "{count} conversations use tools and are left out.", counts.feature("tool_turns"))
        yield left_out("irregular", IRREGULAR,
                       counts.feature("irregular_turns") + counts.feature("unanswered_pairs"))  # fmt: skip
        yield left_out(
            "marks", "{count} conversations hold the format's own marks and are left out.", counts.feature("turn_marks")
        )
        yield Loss("spaces", "Spaces and line ends around {count} turns are lost.", counts.feature("padded_turns"))
    else:
        yield left_out("not_moss", "{count} conversations are not in the order question, call, result, answer, and are left out.",
                       counts.feature("not_moss"))  # fmt: skip
        yield Loss("call_arguments", "{count} conversations have calls whose arguments MOSS knows only as one text.",
                   counts.feature("named_arguments"))  # fmt: skip
    if format != "labelllm":
        yield Loss("comparisons", "{count} records lose answers that were compared.",
                   counts.field("chosen") + counts.field("responses"))  # fmt: skip
        yield Loss("beside", "{count} records lose a label, a verdict, tools, files or annotations beside the conversation.",
                   counts.feature("beside_conversation"))  # fmt: skip
    yield Loss("train_flags", "{count} conversations lose the marks of which turns are learnt.", counts.feature("train_flags"))
    yield Loss("turn_names", "{count} conversations lose names of speakers or of tool calls.", counts.feature("turn_names"))

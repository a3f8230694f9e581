"""Canonical records to the formats that other programs read, as a stream of bytes; `losses` tells beforehand what is left out."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workers.data.formats.base import Loss
from workers.data.formats.canonical import EMPTY_TEXT, JSON_COLUMNS, TABLE_COLUMNS, guard
from workers.data.records import as_messages, canonical_json, record_line, slim
from workers.spec.errors import UserError
from workers.spec.record import Message, Record

FORMATS = ("jsonl", "csv", "alpaca", "sharegpt", "openai")
SUFFIXES = {"jsonl": ".jsonl", "csv": ".csv", "alpaca": ".json", "sharegpt": ".json", "openai": ".jsonl"}


def export(records: Iterable[Record], format: str) -> Iterator[bytes]:
    """The file, piece by piece. Records that the format cannot say are left out (see `losses`)."""
    if format == "jsonl":
        return (record_line(slim(record.model_dump(mode="json"))) for record in records)
    if format == "csv":
        return _table(records)
    if format == "openai":
        return (canonical_json(row) + b"\n" for row in map(openai_row, records) if row is not None)
    if format in ("alpaca", "sharegpt"):
        return _list(map(alpaca_row if format == "alpaca" else sharegpt_row, records))
    raise UserError(
        "export.unknown_format", "«{format}» is no export format; choose one of {known}.", format=format, known=", ".join(FORMATS)
    )


def _list(rows: Iterable[dict[str, Any] | None]) -> Iterator[bytes]:
    separator = b"[\n"
    for row in rows:
        if row is not None:
            yield separator + canonical_json(row)
            separator = b",\n"
    yield b"\n]\n" if separator == b",\n" else b"[]\n"


def _table(records: Iterable[Record]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(TABLE_COLUMNS)
    for record in records:
        writer.writerow(_cells(slim(record.model_dump(mode="json"))))
        if buffer.tell() > 65536:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _cells(record: dict[str, Any]) -> list[str]:
    facets = record.get("facets", {})
    cells = []
    for column in TABLE_COLUMNS:
        value = facets.get(column.removeprefix("facets.")) if column.startswith("facets.") else record.get(column)
        if value is None:
            cells.append("")
        elif column in JSON_COLUMNS:
            cells.append(canonical_json(value).decode())
        else:
            cells.append(guard(str(value)) if value != "" else EMPTY_TEXT)
    return cells


def _conversation(record: Record) -> list[Message] | None:
    """The turns up to a preference, or the labelled text as question and answer."""
    if record.messages is not None:
        return list(record.messages)
    return None if record.label is None and record.answer is None else as_messages(record)


def _tags(record: Record) -> dict[str, Any]:
    """Id, facets and leftovers, under names that other programs ignore and the importers know."""
    content = slim(record.model_dump(mode="json"))
    return {name: content[name] for name in ("id", "facets", "extra") if name in content}


def alpaca_row(record: Record) -> dict[str, Any] | None:
    messages = _conversation(record)
    if not messages:
        return None
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[1:] if messages[0].role == "system" else messages
    roles = [turn.role for turn in turns]
    preference = record.chosen is not None and record.rejected is not None
    expected = ["user", "assistant"] * ((len(turns) + 1) // 2)
    if not turns or roles != expected[: len(turns)] or any(turn.tool_calls for turn in turns):
        return None
    row: dict[str, Any] = {}
    if roles[-1] == "assistant":
        turns, row["output"] = turns[:-1], turns[-1].content
    elif preference:
        chosen, rejected = record.chosen or [], record.rejected or []
        if len(chosen) != 1 or len(rejected) != 1 or chosen[0].tool_calls or rejected[0].tool_calls:
            return None
        row.update(chosen=chosen[0].content, rejected=rejected[0].content)
    else:
        return None
    history = [[question.content, answer.content] for question, answer in zip(turns[:-1:2], turns[1:-1:2], strict=True)]
    row = {"instruction": turns[-1].content, "input": "", **row}
    if system:
        row["system"] = system
    if history:
        row["history"] = history
    return {**row, **_tags(record)}


def sharegpt_row(record: Record) -> dict[str, Any] | None:
    messages = _conversation(record)
    if not messages:
        return None
    row: dict[str, Any] = {"conversations": _sharegpt_turns(messages)}
    if record.tools:
        row["tools"] = json.dumps([tool.get("function", tool) for tool in record.tools], ensure_ascii=False)
    if record.chosen is not None and record.rejected is not None:
        row.update(chosen=_sharegpt_turns(record.chosen), rejected=_sharegpt_turns(record.rejected))
    return {**row, **_kept_columns(record), **_tags(record)}


def _sharegpt_turns(messages: Iterable[Message]) -> list[dict[str, str]]:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    turns = []
    for message in messages:
        if message.content or not message.tool_calls:
            turns.append({"from": names[message.role], "value": message.content})
        if message.tool_calls:
            calls = [call.get("function", call) for call in message.tool_calls]
            value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            turns.append({"from": "function_call", "value": value})
    return turns


def _kept_columns(record: Record) -> dict[str, Any]:
    """A label beside a conversation, and files, in the columns that the conversation formats use for them."""
    row: dict[str, Any] = {}
    if record.messages is not None and record.label is not None:
        row["label"] = {"true": True, "false": False}.get(record.label, record.label)
    for item in record.media or []:
        plain = (
            item["path"] if item.keys() == {"kind", "path"} else {name: value for name, value in item.items() if name != "kind"}
        )
        row.setdefault(f"{item.get('kind', 'image')}s", []).append(plain)
    return row


def openai_row(record: Record) -> dict[str, Any] | None:
    messages = _conversation(record)
    if not messages:
        return None
    turns = [_openai_turn(message) for message in messages]
    if record.chosen is not None and record.rejected is not None:
        asked: dict[str, Any] = {"messages": turns}
        if record.tools:
            asked["tools"] = record.tools
        preferred, other = ([_openai_turn(message) for message in answer] for answer in (record.chosen, record.rejected))
        return {"input": asked, "preferred_output": preferred, "non_preferred_output": other}
    return {"messages": turns, **({"tools": record.tools} if record.tools else {})}


def _openai_turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [_openai_call(call) for call in message.tool_calls]
    for name in ("name", "tool_call_id"):
        if getattr(message, name) is not None:
            turn[name] = getattr(message, name)
    if message.train is not None and message.role == "assistant":
        turn["weight"] = int(message.train)
    return turn


def _openai_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", call))
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments", {}), ensure_ascii=False)
    return {**call, "function": function}


def losses(format: str, stats: Mapping[str, Any]) -> list[Loss]:
    """What an export of a version with these statistics (stats.json) leaves out; nothing for jsonl and csv."""
    if format in ("jsonl", "csv"):
        return []
    fields, features = stats.get("fields", {}), stats.get("features", {})
    turned = features.get("answered_text", 0)
    only_text = stats.get("count", 0) - fields.get("messages", 0) - turned
    found = [Loss("only_text", "{count} records are plain text without an answer and are left out.", only_text)]

    def lose(code: str, template: str, count: int, *formats: str) -> None:
        if format in formats:
            found.append(Loss(code, template, count))

    lose(
        "turned", "{count} labelled texts or questions become a question and its answer.", turned, "alpaca", "sharegpt", "openai"
    )
    lose(
        "tool_turns",
        "{count} conversations use tools, which Alpaca cannot say, and are left out.",
        features.get("tool_turns", 0),
        "alpaca",
    )
    lose("irregular", "{count} conversations do not alternate between user and assistant to an answer, and are left out.",
         features.get("irregular_turns", 0), "alpaca")  # fmt: skip
    lose("media", "{count} records lose their files.", fields.get("media", 0), "alpaca", "openai")
    lose(
        "train_flags",
        "{count} conversations lose the marks of which turns are learnt.",
        features.get("train_flags", 0),
        "alpaca",
        "sharegpt",
    )
    lose(
        "turn_names",
        "{count} conversations lose names of speakers or of tool calls.",
        features.get("turn_names", 0),
        "alpaca",
        "sharegpt",
    )
    lose("label", "{count} conversations lose their label.", features.get("labelled_conversation", 0), "alpaca", "openai")
    lose("tools", "{count} records lose their list of tools.", fields.get("tools", 0), "alpaca")
    lose("identity", "{count} records lose their id, facets and further columns.", stats.get("count", 0), "openai")
    return [loss for loss in found if loss.count > 0]

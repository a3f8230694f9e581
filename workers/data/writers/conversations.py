"""Alpaca, ShareGPT and OpenAI messages, with their forms for preferences and verdicts."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workers.data.formats.base import Loss
from workers.data.records import as_messages, slim
from workers.data.writers.base import Counts, Row, compact, left_out, tags
from workers.spec.record import Message, Record


def turns_of(record: Record) -> list[Message] | None:
    """The turns up to a preference, or the labelled text as question and answer."""
    if record.messages is not None:
        return list(record.messages)
    return None if record.label is None and record.answer is None else as_messages(record)


def system_and_turns(messages: list[Message]) -> tuple[str, list[Message]]:
    return (messages[0].content, messages[1:]) if messages and messages[0].role == "system" else ("", messages)


def alternates(turns: list[Message]) -> bool:
    """Whether user and assistant take turns, beginning with the user, without tools."""
    expected = ["user", "assistant"] * ((len(turns) + 1) // 2)
    return bool(turns) and [turn.role for turn in turns] == expected[: len(turns)] and not any(turn.tool_calls for turn in turns)


def alpaca_rows(record: Record) -> Iterator[Row]:
    system, turns = system_and_turns(turns_of(record) or [])
    if not alternates(turns):
        return
    row: Row = {}
    if turns[-1].role == "assistant":
        turns, row["output"] = turns[:-1], turns[-1].content
    elif record.chosen is not None and record.rejected is not None:
        if any(len(answer) != 1 or answer[0].tool_calls for answer in (record.chosen, record.rejected)):
            return
        row.update(chosen=record.chosen[0].content, rejected=record.rejected[0].content)
    else:
        return
    history = [[question.content, answer.content] for question, answer in zip(turns[:-1:2], turns[1:-1:2], strict=True)]
    row = {"instruction": turns[-1].content, "input": "", **row}
    if system:
        row["system"] = system
    if history:
        row["history"] = history
    if record.desirable is not None:
        row["kto_tag"] = record.desirable
    yield {**row, **media_columns(record), **tags(record, "annotations")}


def sharegpt_rows(record: Record) -> Iterator[Row]:
    messages = turns_of(record)
    if not messages:
        return
    row: Row = {"conversations": _sharegpt_turns(messages)}
    if record.tools:
        row["tools"] = compact([tool.get("function", tool) for tool in record.tools])
    if record.chosen is not None and record.rejected is not None:
        row.update(chosen=_sharegpt_turns(record.chosen), rejected=_sharegpt_turns(record.rejected))
    yield {**row, **_label_and_verdict(record), **media_columns(record), **tags(record, "annotations")}


def _sharegpt_turns(messages: Iterable[Message]) -> list[dict[str, str]]:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    turns = []
    for message in messages:
        if message.content or not message.tool_calls:
            turns.append({"from": names[message.role], "value": message.content})
        if message.tool_calls:
            calls = [call.get("function", call) for call in message.tool_calls]
            turns.append({"from": "function_call", "value": compact(calls[0] if len(calls) == 1 else calls)})
    return turns


def _label_and_verdict(record: Record) -> Row:
    """Beside a conversation: its label, and whether its answer is good in the column that trainers read."""
    row: Row = {}
    if record.messages is not None and record.label is not None:
        row["label"] = record.label
    if record.desirable is not None:
        row["kto_tag" if "label" in row else "label"] = record.desirable
    return row


def media_columns(record: Record) -> Row:
    """Files in the columns `images`, `audios`, `videos`: a path or address where that says all, else an object."""
    row: Row = {}
    for item in record.media or []:
        given = {name: value for name, value in item.model_dump(exclude_none=True).items() if name != "kind"}
        plain = next(iter(given.values())) if given.keys() in ({"name"}, {"url"}) else given
        row.setdefault(f"{item.kind}s", []).append(plain)
    return row


def openai_rows(record: Record) -> Iterator[Row]:
    messages = turns_of(record)
    if not messages:
        return
    turns = openai_turns(messages)
    tools: Row = {"tools": record.tools} if record.tools else {}
    if record.chosen is not None and record.rejected is not None:
        answers = {"preferred_output": openai_turns(record.chosen), "non_preferred_output": openai_turns(record.rejected)}
        yield {"input": {"messages": turns, **tools}, **answers, **media_columns(record)}
        return
    verdict: Row = {} if record.desirable is None else {"label": record.desirable}
    yield {"messages": turns, **tools, **verdict, **media_columns(record)}


def openai_turns(messages: Iterable[Message]) -> list[Row]:
    return [_openai_turn(message) for message in messages]


def _openai_turn(message: Message) -> Row:
    turn: Row = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [_openai_call(call) for call in message.tool_calls]
    for name in ("name", "tool_call_id"):
        if getattr(message, name) is not None:
            turn[name] = getattr(message, name)
    if message.train is not None and message.role == "assistant":
        turn["weight"] = int(message.train)
    return turn


def _openai_call(call: Mapping[str, Any]) -> Row:
    function = dict(call.get("function", call))
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = compact(function.get("arguments", {}))
    return {**call, "function": function}


def conversation_losses(format: str, counts: Counts) -> Iterator[Loss]:
    turned = counts.feature("answered_text")
    only_text = counts.total - counts.field("messages") - turned
    yield left_out("only_text", "{count} records are no conversations and have no answer, and are left out.", only_text)
    yield Loss("turned", "{count} labelled texts or questions become a question and its answer.", turned)
    yield Loss("responses", "{count} records lose their answers to compare.", counts.field("responses"))
    if format == "alpaca":
        yield left_out("tool_turns", "{count} conversations use tools, which Alpaca cannot say, and are left out.",
                       counts.feature("tool_turns"))  # fmt: skip
        yield left_out("irregular", IRREGULAR, counts.feature("irregular_turns"))
        yield left_out("long_answers", "{count} preferences have answers of several turns and are left out.",
                       counts.feature("long_answers"))  # fmt: skip
        yield Loss("tools", "{count} records lose their list of tools.", counts.field("tools"))
    if format != "openai":
        yield Loss(
            "train_flags", "{count} conversations lose the marks of which turns are learnt.", counts.feature("train_flags")
        )
        yield Loss("turn_names", "{count} conversations lose names of speakers or of tool calls.", counts.feature("turn_names"))
    if format != "sharegpt":
        yield Loss("label", "{count} conversations lose their label.", counts.feature("labelled_conversation"))
    if format == "openai":
        yield Loss("annotations", "{count} records lose their annotations.", counts.field("annotations"))
        yield Loss("identity", "{count} records lose their id, facets and further columns.", counts.total)


IRREGULAR = "{count} conversations do not alternate between user and assistant to an answer, and are left out."


def content_of(record: Record) -> Row:
    return slim(record.model_dump(mode="json"))

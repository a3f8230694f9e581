"""POST /v1/chat/completions."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workers.data.templates import ChatTemplate
from workers.engine.engines.base import Grammar
from workers.engine.generation import Choice, Served, complete_all, repeat, stream_all, usage
from workers.engine.http import EventStream, dumps, read_body, until_disconnect
from workers.engine.protocol import ApiError, ChatRequest, NamedTool, Tool
from workers.engine.text import Piece, TokenLogprob
from workers.engine.tool_calls import ToolCall, ToolCallParser

ROLES = {"system", "developer", "user", "assistant", "tool"}


async def chat_completions(request: Request) -> Response:
    served: Served = request.app.state.served
    body = await read_body(request, ChatRequest)
    served.check_model(body.model)
    messages = [plain_message(message, index) for index, message in enumerate(body.messages)]
    tools = wanted_tools(body)
    if body.continue_final_message and messages[-1]["role"] != "assistant":
        raise ApiError(400, "continue_final_message needs a last message of the assistant.", param="continue_final_message")
    prompt = served.template.encode_prompt(
        messages,
        tools=[tool.model_dump(exclude_none=True) for tool in tools] or None,
        continue_final=body.continue_final_message,
    )
    choices = _choices(served, body, prompt, tools)
    answer = Answer(served, body, prompt, choices, parse_tools=bool(tools))
    if body.stream:
        return await EventStream.open(request, answer.frames())
    return await until_disconnect(request, answer.whole())


def _choices(served: Served, body: ChatRequest, prompt: list[int], tools: list[Tool]) -> list[Choice]:
    top = body.top_logprobs or 0
    if top and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs: true.", param="top_logprobs")
    if top and body.stream and not served.engine.streams_alternatives:
        raise ApiError(
            400,
            f"The engine {served.engine.name} cannot stream top_logprobs; ask without stream.",
            param="top_logprobs",
            code="unsupported_parameter",
        )
    sampling = served.sampling(
        body,
        prompt,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        logprobs=bool(body.logprobs),
        top_logprobs=top,
        grammar=wanted_grammar(body, tools, served),
    )
    # Marks of tool calls may be special tokens, which are left out of an ordinary answer.
    return [
        Choice(served, prompt, one, body.stops, skip_special_tokens=not tools, alternatives=top)
        for one in repeat(sampling, body.n)
    ]


def plain_message(message: dict[str, Any], index: int) -> dict[str, Any]:
    """A message with its content as one text; `developer` is the newer name of `system`."""
    role, content = message.get("role"), message.get("content")
    place = f"messages[{index}]"
    if role not in ROLES:
        raise ApiError(400, f"{place}.role must be one of {', '.join(sorted(ROLES))}.", param="messages")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise ApiError(400, f"{place}.content: this model reads text only.", param="messages")
        content = "".join(str(part.get("text", "")) for part in content)
    if content is not None and not isinstance(content, str):
        raise ApiError(400, f"{place}.content must be a text or a list of text parts.", param="messages")
    calls = message.get("tool_calls")
    if content is None and not calls:
        raise ApiError(400, f"{place}.content is missing.", param="messages")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        raise ApiError(400, f"{place}.tool_calls must be a list of objects.", param="messages")
    return {**message, "role": "system" if role == "developer" else role, "content": content or ""}


def wanted_tools(body: ChatRequest) -> list[Tool]:
    """The tools that the model is told of."""
    tools = body.tools or []
    if body.tool_choice == "none":
        return []
    if body.tool_choice == "required" and not tools:
        raise ApiError(400, "tool_choice is required, but no tools are given.", param="tool_choice")
    if isinstance(body.tool_choice, NamedTool):
        name = body.tool_choice.function.name
        if all(tool.function.name != name for tool in tools):
            raise ApiError(400, f"tool_choice names {name!r}, which is not among the tools.", param="tool_choice")
    return tools


def wanted_grammar(body: ChatRequest, tools: list[Tool], served: Served) -> Grammar | None:
    grammar = _tool_grammar(body, tools) or _format_grammar(body)
    if grammar is not None and not served.engine.supports_grammar:
        raise ApiError(
            400,
            f"The engine {served.engine.name} cannot keep to a given form (response_format, forced tool_choice).",
            param="response_format" if body.response_format else "tool_choice",
            code="unsupported_parameter",
        )
    return grammar


def _tool_grammar(body: ChatRequest, tools: list[Tool]) -> Grammar | None:
    named = body.tool_choice.function.name if isinstance(body.tool_choice, NamedTool) else None
    if not tools or (named is None and body.tool_choice != "required"):
        return None
    allowed = [tool.function for tool in tools if named in (None, tool.function.name)]
    return Grammar(tools={one.name: one.parameters or {"type": "object"} for one in allowed})


def _format_grammar(body: ChatRequest) -> Grammar | None:
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Grammar(json_schema={"type": "object"})
    if wanted.type == "regex":
        if not wanted.regex:
            raise ApiError(400, "response_format.regex is missing.", param="response_format")
        return Grammar(regex=wanted.regex)
    schema = (wanted.json_schema or {}).get("schema")
    if not isinstance(schema, dict):
        raise ApiError(400, "response_format.json_schema.schema must be an object.", param="response_format")
    return Grammar(json_schema=schema)


class Answer:
    """All choices of one request, as one body or as a stream of frames."""

    def __init__(
        self, served: Served, body: ChatRequest, prompt: list[int], choices: Sequence[Choice], *, parse_tools: bool
    ) -> None:
        self._template = served.template
        self._body = body
        self._prompt = prompt
        self._choices = choices
        self._parsers = [ToolCallParser() if parse_tools else None for _ in choices]
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": served.name}

    async def whole(self) -> Response:
        await complete_all(self._choices)
        content = [self._choice_body(index, choice) for index, choice in enumerate(self._choices)]
        totals = usage([self._prompt], self._choices).body()
        return JSONResponse({**self._head, "object": "chat.completion", "choices": content, "usage": totals})

    def _choice_body(self, index: int, choice: Choice) -> dict[str, Any]:
        text, calls = choice.text, list[ToolCall]()
        parser = self._parsers[index]
        if parser is not None:
            text, calls = parser.feed(choice.text)
            rest, more = parser.finish()
            text, calls = text + rest, calls + more
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
        if calls:
            message["tool_calls"] = [_call_body(call) for call in calls]
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs_body(self._template, choice.logprobs) if self._body.logprobs else None,
            "finish_reason": "tool_calls" if calls and choice.finish_reason == "stop" else choice.finish_reason,
        }

    async def frames(self) -> AsyncIterator[str]:
        """Ready server-sent events. The unchanging parts of a frame are serialised once."""
        start = dumps({**self._head, "object": "chat.completion.chunk"})[:-1]
        head = f'data: {start},"choices":[{{"index":'
        with_usage = self._body.stream_options is not None and self._body.stream_options.include_usage
        tail = '}],"usage":null}\n\n' if with_usage else "}]}\n\n"
        opening = '{"role":"assistant","content":""}'
        opened = "".join(
            f'{head}{index},"delta":{opening},"logprobs":null,"finish_reason":null{tail}' for index in range(len(self._choices))
        )
        async with aclosing(stream_all(self._choices)) as pieces:
            async for index, piece in pieces:
                frame = "".join(f"{head}{index},{rest}{tail}" for rest in self._deltas(index, piece))
                if opened or frame:
                    yield opened + frame
                    opened = ""
        if with_usage:
            totals = dumps(usage([self._prompt], self._choices).body())
            yield f'data: {start},"choices":[],"usage":{totals}}}\n\n'
        yield "data: [DONE]\n\n"

    def _deltas(self, index: int, piece: Piece) -> list[str]:
        """The changing part of each frame that a piece becomes."""
        text, calls, parser = piece.text, list[ToolCall](), self._parsers[index]
        if parser is not None:
            first = parser.calls
            text, calls = parser.feed(piece.text)
            if piece.finish_reason is not None:
                rest, more = parser.finish()
                text, calls = text + rest, calls + more
        entries = "null"
        if self._body.logprobs:
            entries = dumps(logprobs_body(self._template, piece.logprobs))
        deltas = []
        if text or piece.logprobs:
            deltas.append(f'"delta":{{"content":{dumps(text)}}},"logprobs":{entries},"finish_reason":null')
        if calls:
            listed = dumps([{"index": first + offset, **_call_body(call)} for offset, call in enumerate(calls)])
            deltas.append(f'"delta":{{"tool_calls":{listed}}},"logprobs":null,"finish_reason":null')
        if piece.finish_reason is not None:
            called = parser is not None and parser.calls and piece.finish_reason == "stop"
            reason = "tool_calls" if called else piece.finish_reason
            deltas.append(f'"delta":{{}},"logprobs":null,"finish_reason":"{reason}"')
        return deltas


def _call_body(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def logprobs_body(template: ChatTemplate, entries: Sequence[TokenLogprob]) -> dict[str, Any]:
    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = template.decode([token], skip_special_tokens=False)
        # A token that is part of a character has bytes that its text does not show.
        return {"token": text, "logprob": logprob, "bytes": None if "\ufffd" in text else list(text.encode())}

    return {
        "content": [
            {
                **entry(one.token_id, one.logprob),
                "top_logprobs": [entry(token, logprob) for token, logprob in one.alternatives],
            }
            for one in entries
        ]
    }

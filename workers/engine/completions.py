"""POST /v1/completions: plain text or token ids go on; with `echo`, given tokens are scored."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workers.data.templates import ChatTemplate
from workers.engine.engines.base import Alternatives, Scores
from workers.engine.generation import Choice, Served, complete_all, repeat, stream_all, usage
from workers.engine.http import EventStream, dumps, read_body, until_disconnect
from workers.engine.protocol import ApiError, CompletionRequest
from workers.engine.text import TokenLogprob

MAX_PROMPTS = 256


async def completions(request: Request) -> Response:
    served: Served = request.app.state.served
    body = await read_body(request, CompletionRequest)
    served.check_model(body.model)
    if body.best_of not in (None, body.n):
        raise ApiError(400, "best_of is not supported.", param="best_of", code="unsupported_parameter")
    prompts = _prompts(served.template, body)
    if body.stream and body.echo:
        raise ApiError(400, "echo cannot be streamed; ask without stream.", param="echo", code="unsupported_parameter")
    if body.stream and body.logprobs and not served.engine.streams_alternatives:
        raise ApiError(
            400,
            f"The engine {served.engine.name} cannot stream alternatives; ask with logprobs 0 or without stream.",
            param="logprobs",
            code="unsupported_parameter",
        )
    answer = Completion(served, body, prompts)
    if body.stream:
        return await EventStream.open(request, answer.frames())
    return await until_disconnect(request, answer.whole())


def _prompts(template: ChatTemplate, body: CompletionRequest) -> list[list[int]]:
    given = body.prompt
    if isinstance(given, str):
        given = [given]
    elif isinstance(given[0], int):
        given = [given]  # type: ignore[list-item]
    if len(given) > MAX_PROMPTS:
        raise ApiError(400, f"At most {MAX_PROMPTS} prompts go into one request.", param="prompt")
    prompts = [template.encode_text(prompt) if isinstance(prompt, str) else list(prompt) for prompt in given]  # type: ignore[arg-type]
    if not all(prompts):
        raise ApiError(400, "The prompt is empty.", param="prompt")
    return prompts


@dataclass
class Line:
    """One token of the `logprobs` object."""

    token: int
    logprob: float | None
    alternatives: Alternatives


class Completion:
    def __init__(self, served: Served, body: CompletionRequest, prompts: list[list[int]]) -> None:
        self._served = served
        self._body = body
        self._prompts = prompts
        self._choices = [
            Choice(served, prompt, sampling, body.stops, alternatives=body.logprobs or 0)
            for prompt in prompts
            for sampling in repeat(self._sampling(prompt), body.n)
        ]
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }

    def _sampling(self, prompt: list[int]) -> Any:
        if self._body.max_tokens == 0 and len(prompt) == self._served.engine.context_length:
            prompt = prompt[:-1]  # nothing is to be added: a prompt may fill the whole context
        return self._served.sampling(
            self._body,
            prompt,
            max_tokens=self._body.max_tokens,
            logprobs=self._body.logprobs is not None,
            top_logprobs=self._body.logprobs or 0,
        )

    async def whole(self) -> Response:
        scores = await self._prompt_scores()
        await complete_all(self._choices)
        content = [
            self._choice_body(index, choice, scores[index // self._body.n] if scores else None)
            for index, choice in enumerate(self._choices)
        ]
        totals = usage(self._prompts, self._choices).body()
        return JSONResponse({**self._head, "choices": content, "usage": totals})

    async def _prompt_scores(self) -> list[Scores]:
        if not self._body.echo or self._body.logprobs is None:
            return []
        top = self._body.logprobs
        return await asyncio.gather(*(self._served.engine.score(prompt, top) for prompt in self._prompts))

    def _choice_body(self, index: int, choice: Choice, scores: Scores | None) -> dict[str, Any]:
        template = self._served.template
        lines = [_line(entry) for entry in choice.logprobs]
        text = choice.text
        if self._body.echo:
            text = template.decode(choice.prompt, skip_special_tokens=False) + text
        if scores is not None:
            alternatives = scores.alternatives or [[] for _ in scores.logprobs]
            first, *others = zip(choice.prompt, scores.logprobs, alternatives, strict=True)
            lines = [Line(first[0], None, []), *(Line(*other) for other in others), *lines]
        return {
            "index": index,
            "text": text,
            "logprobs": logprobs_body(template, lines) if self._body.logprobs is not None else None,
            "finish_reason": choice.finish_reason,
        }

    async def frames(self) -> AsyncIterator[str]:
        start = dumps(self._head)[:-1]
        with_usage = self._body.stream_options is not None and self._body.stream_options.include_usage
        tail = ',"usage":null}\n\n' if with_usage else "}\n\n"
        async with aclosing(stream_all(self._choices)) as pieces:
            async for index, piece in pieces:
                if not (piece.text or piece.logprobs or piece.finish_reason):
                    continue
                entries = "null"
                if self._body.logprobs is not None:
                    entries = dumps(logprobs_body(self._served.template, [_line(entry) for entry in piece.logprobs]))
                reason = f'"{piece.finish_reason}"' if piece.finish_reason else "null"
                choice = f'{{"index":{index},"text":{dumps(piece.text)},"logprobs":{entries},"finish_reason":{reason}}}'
                yield f'data: {start},"choices":[{choice}]{tail}'
        if with_usage:
            totals = dumps(usage(self._prompts, self._choices).body())
            yield f'data: {start},"choices":[],"usage":{totals}}}\n\n'
        yield "data: [DONE]\n\n"


def _line(entry: TokenLogprob) -> Line:
    return Line(entry.token_id, entry.logprob, entry.alternatives)


def logprobs_body(template: ChatTemplate, lines: Sequence[Line]) -> dict[str, Any]:
    """The API's parallel lists. `text_offset` counts characters from the first listed token."""
    texts = [template.decode([line.token], skip_special_tokens=False) for line in lines]
    offsets, position = [], 0
    for text in texts:
        offsets.append(position)
        position += len(text)
    return {
        "tokens": texts,
        "token_logprobs": [line.logprob for line in lines],
        "top_logprobs": [
            {template.decode([token], skip_special_tokens=False): logprob for token, logprob in line.alternatives} or None
            for line in lines
        ],
        "text_offset": offsets,
    }

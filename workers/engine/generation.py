"""One served model: prompts go in as tokens, text comes out in pieces; whatever the API around it looks like."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from workers.data.templates import ChatTemplate
from workers.engine.engines.base import Engine, Grammar, Sampling
from workers.engine.protocol import ApiError, SamplingFields, Usage
from workers.engine.text import Piece, TextStream, TokenLogprob


class Meter:
    """Tokens counted since the start, and their rate over the last few seconds."""

    WINDOW = 10

    def __init__(self) -> None:
        self.total = 0
        self._seconds: deque[tuple[int, int]] = deque(maxlen=self.WINDOW)

    def add(self, count: int) -> None:
        self.total += count
        now = int(time.monotonic())
        if self._seconds and self._seconds[-1][0] == now:
            self._seconds[-1] = (now, self._seconds[-1][1] + count)
        else:
            self._seconds.append((now, count))

    def per_second(self) -> float:
        now = time.monotonic()
        recent = [(second, count) for second, count in self._seconds if now - second < self.WINDOW]
        if not recent:
            return 0.0
        return round(sum(count for _, count in recent) / max(now - recent[0][0], 1.0), 1)


@dataclass
class Served:
    """What the process serves, and what it has done so far."""

    name: str
    engine: Engine
    template: ChatTemplate
    generation: dict[str, Any] = field(default_factory=dict)
    """Sampling that the model wants where a request does not name it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the ready file says; shown by /metrics as well."""
    meter: Meter = field(default_factory=Meter)
    created: int = field(default_factory=lambda: int(time.time()))

    def check_model(self, name: str | None) -> None:
        if name is not None and name != self.name:
            message = f"The model {name!r} is not served here; this server has {self.name!r}."
            raise ApiError(404, message, param="model", code="model_not_found")

    def sampling(
        self,
        body: SamplingFields,
        prompt: Sequence[int],
        *,
        max_tokens: int | None,
        logprobs: bool = False,
        top_logprobs: int = 0,
        grammar: Grammar | None = None,
    ) -> Sampling:
        """How to draw tokens for a prompt; the answer is cut where the context ends."""
        context = self.engine.context_length
        if len(prompt) >= context:
            message = (
                f"The prompt has {len(prompt)} tokens, but this model's context is {context} tokens, answer included; "
                "shorten the conversation."
            )
            raise ApiError(400, message, param="messages", code="context_length_exceeded")
        if body.logit_bias:
            raise ApiError(400, "logit_bias is not supported.", param="logit_bias", code="unsupported_parameter")
        room = context - len(prompt)
        wanted = {name: value for name, value in self.generation.items() if name not in body.model_fields_set}
        return Sampling(
            max_tokens=min(max_tokens, room) if max_tokens is not None else room,
            temperature=wanted.get("temperature", body.temperature),
            top_p=wanted.get("top_p", body.top_p),
            top_k=max(body.top_k, 0),
            min_p=body.min_p,
            repetition_penalty=body.repetition_penalty,
            presence_penalty=body.presence_penalty,
            frequency_penalty=body.frequency_penalty,
            seed=body.seed,
            stop_token_ids=frozenset() if body.ignore_eos else frozenset(self.template.stop_token_ids),
            logprobs=logprobs,
            top_logprobs=top_logprobs if self.engine.streams_alternatives else 0,
            grammar=grammar,
        )


class Choice:
    """One sequence: an answer in the making."""

    def __init__(
        self,
        served: Served,
        prompt: list[int],
        sampling: Sampling,
        stops: list[str],
        *,
        skip_special_tokens: bool = True,
        alternatives: int = 0,
    ) -> None:
        self.served = served
        self.prompt = prompt
        self.sampling = sampling
        self.stream = TextStream(served.template, stops, skip_special_tokens=skip_special_tokens)
        self.text = ""
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: str | None = None
        self._alternatives = alternatives if sampling.logprobs and not sampling.top_logprobs else 0

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer as it comes. Leaving early cancels it in the engine."""
        if self.sampling.max_tokens == 0:
            self.finish_reason = "length"
            yield Piece(finish_reason="length")
            return
        async with aclosing(self.served.engine.generate(self.prompt, self.sampling)) as events:
            async for event in events:
                counted = self.stream.counted
                piece = self.stream.feed(event)
                self.served.meter.add(self.stream.counted - counted)
                yield piece
                if piece.finish_reason is not None:
                    return

    async def complete(self) -> None:
        """The whole answer, kept in `text`, `logprobs` and `finish_reason`."""
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                self.text += piece.text
                self.logprobs += piece.logprobs
                self.finish_reason = piece.finish_reason
        if self._alternatives and self.stream.tokens:
            scores = await self.served.engine.score([*self.prompt, *self.stream.tokens], self._alternatives)
            start = len(self.prompt)
            found = zip(self.logprobs, scores.logprobs[start:], scores.alternatives[start:], strict=True)
            self.logprobs = [TokenLogprob(one.token_id, logprob, others) for one, logprob, others in found]


def repeat(sampling: Sampling, count: int) -> list[Sampling]:
    """The settings of `count` answers to one prompt: a given seed makes them differ, and repeatably so."""
    if sampling.seed is None:
        return [sampling] * count
    return [replace(sampling, seed=sampling.seed + index) for index in range(count)]


def usage(prompts: Sequence[list[int]], choices: Sequence[Choice]) -> Usage:
    """Each prompt counts once, however many answers it gets."""
    answers = len(choices) // max(len(prompts), 1)
    return Usage(
        prompt=sum(len(prompt) for prompt in prompts),
        completion=sum(choice.stream.counted for choice in choices),
        cached=sum(choice.stream.cached_tokens for choice in choices[:: max(answers, 1)]),
    )


async def complete_all(choices: Sequence[Choice]) -> None:
    if len(choices) == 1:
        await choices[0].complete()
        return
    async with asyncio.TaskGroup() as group:
        for choice in choices:
            group.create_task(choice.complete())


async def stream_all(choices: Sequence[Choice]) -> AsyncIterator[tuple[int, Piece]]:
    """(index, piece) of all choices as they come."""
    if len(choices) == 1:
        async with aclosing(choices[0].pieces()) as pieces:
            async for piece in pieces:
                yield 0, piece
        return
    queue: asyncio.Queue[tuple[int, Piece] | BaseException] = asyncio.Queue()
    tasks = [asyncio.create_task(_forward(index, choice, queue)) for index, choice in enumerate(choices)]
    for task in tasks:
        task.add_done_callback(lambda done: _tell_failure(done, queue))
    try:
        open_choices = len(choices)
        while open_choices:
            entry = await queue.get()
            if isinstance(entry, BaseException):
                raise entry
            yield entry
            open_choices -= entry[1].finish_reason is not None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(index: int, choice: Choice, queue: asyncio.Queue[tuple[int, Piece] | BaseException]) -> None:
    async with aclosing(choice.pieces()) as pieces:
        async for piece in pieces:
            queue.put_nowait((index, piece))


def _tell_failure(task: asyncio.Task[None], queue: asyncio.Queue[tuple[int, Piece] | BaseException]) -> None:
    """What ended a choice is raised where the pieces are read."""
    if not task.cancelled() and (error := task.exception()) is not None:
        queue.put_nowait(error)

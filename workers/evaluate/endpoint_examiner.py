"""Puts an examination to an OpenAI-compatible endpoint.

Free answers come from chat completions. Choices are scored by log-likelihood where the endpoint echoes prompts with
log-probabilities (a model of our own is asked through its chat template, others in plain text when the suite is not a chat);
elsewhere the model is told to name one choice, and the result says so.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from workers.data.templates import ChatTemplate, load_template, plain_messages
from workers.evaluate.answers import chosen_by_words
from workers.evaluate.endpoint import Endpoint, RequestRefused
from workers.evaluate.prompts import PLAIN_STOPS, Prompter, plain_prompt
from workers.evaluate.questions import Question
from workers.evaluate.samples import Sample, choice_sample, free_sample
from workers.spec.errors import UserError
from workers.spec.evaluate import EvalSpec
from workers.spec.record import Message
from workers.spec.run import ModelInput

_ECHO_ROWS = 32
_LOOK_FOR_STOP_SECONDS = 0.5


class EndpointExaminer:
    """The same shape as LocalExaminer: `units` of one question each, asked many at a time."""

    def __init__(self, given: ModelInput, questions: Sequence[Question], spec: EvalSpec, check_stop: Callable[[], None]) -> None:
        self.questions = questions
        self.config = spec.config
        self.template: ChatTemplate | None = load_template(given.path) if given.path is not None else None
        self.template_hash = self.template.hash if self.template else None
        self._prompter = Prompter(self.template, spec.config.chat) if self.template else None
        self._check_stop = check_stop
        self._given = given
        self.units = [[index] for index in range(len(questions))]
        self.way = "chat completions" if self.config.chat else "completions"
        if self.config.method == "multiple_choice":
            may_echo = self._prompter is not None or not self.config.chat
            echoes = may_echo and asyncio.run(self._probe())
            self.way = "log-likelihood (echo)" if echoes else "named choice"

    async def _probe(self) -> bool:
        endpoint = Endpoint(self._given)
        try:
            return await endpoint.scores_prompts()
        finally:
            await endpoint.close()

    def ask(self, units: Sequence[list[int]]) -> Iterator[list[Sample]]:
        """Samples in the order in which answers arrive."""
        loop = asyncio.new_event_loop()
        stream = self._answers([unit[0] for unit in units])
        try:
            while True:
                try:
                    yield loop.run_until_complete(anext(stream))
                except StopAsyncIteration:
                    return
        finally:
            loop.run_until_complete(stream.aclose())
            loop.close()

    async def _answers(self, indices: Sequence[int]) -> Any:
        endpoint = Endpoint(self._given)
        tasks = {asyncio.ensure_future(self._answer(endpoint, self.questions[index])) for index in indices}
        try:
            while tasks:
                finished, tasks = await asyncio.wait(tasks, timeout=_LOOK_FOR_STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._check_stop()
                for task in finished:
                    yield [task.result()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await endpoint.close()

    async def _answer(self, endpoint: Endpoint, question: Question) -> Sample:
        try:
            if self.config.method == "generation":
                return await self._generate(endpoint, question)
            if self.way == "named choice":
                return await self._name_choice(endpoint, question)
            return await self._score(endpoint, question)
        except RequestRefused as error:
            refused = free_sample(question, plain_prompt(question.messages), "", spec=self.config)
            refused.correct, refused.score, refused.error = False, 0.0, str(error)[:300]
            return refused

    async def _generate(self, endpoint: Endpoint, question: Question) -> Sample:
        if not self.config.chat:
            prompt = plain_prompt(question.messages)
            body = {"prompt": prompt, "max_tokens": self.config.max_new_tokens, "temperature": 0, "stop": list(PLAIN_STOPS)}
            content = await endpoint.post("/completions", body)
            choice = _first(content)
            output = str(choice.get("text") or "").strip()
        else:
            prompt = json.dumps(plain_messages(question.messages), ensure_ascii=False)
            choice, content, output = await self._chat(endpoint, question.messages, question.tools, self.config.max_new_tokens)
        usage = content.get("usage") or {}
        return free_sample(
            question,
            prompt,
            output,
            spec=self.config,
            unfinished=choice.get("finish_reason") == "length",
            prompt_tokens=usage.get("prompt_tokens") or 0,
            output_tokens=usage.get("completion_tokens") or 0,
        )

    async def _chat(
        self, endpoint: Endpoint, messages: Sequence[Message], tools: list[dict[str, Any]] | None, limit: int
    ) -> tuple[dict[str, Any], dict[str, Any], str]:
        """The first choice, the whole answer and its words; tool calls are written out as templates do."""
        body: dict[str, Any] = {"messages": _wire(messages), "max_tokens": limit, "temperature": 0}
        if tools:
            body["tools"] = tools
        content = await endpoint.post("/chat/completions", body)
        choice = _first(content)
        message = choice.get("message") or {}
        output = str(message.get("content") or "")
        for call in message.get("tool_calls") or []:
            output += f"<tool_call>{json.dumps(_plain(call), ensure_ascii=False)}</tool_call>"
        return choice, content, output

    async def _name_choice(self, endpoint: Endpoint, question: Question) -> Sample:
        lettered = all(choice[1:3] == ". " for choice in question.choices)
        told = "Answer with the letter only." if lettered else "Answer with exactly one of: " + "; ".join(question.choices)
        last = question.messages[-1]
        asked = [*question.messages[:-1], last.model_copy(update={"content": f"{last.content}\n{told}"})]
        limit = 16 if lettered else 16 + max(map(len, question.choices))
        choice, content, output = await self._chat(endpoint, asked, question.tools, limit)
        picked = chosen_by_words(question, output)
        sample = free_sample(
            question,
            json.dumps(plain_messages(asked), ensure_ascii=False),
            output,
            spec=self.config,
            unfinished=choice.get("finish_reason") == "length",
            prompt_tokens=(content.get("usage") or {}).get("prompt_tokens") or 0,
            output_tokens=(content.get("usage") or {}).get("completion_tokens") or 0,
        )
        sample.extracted = "" if picked is None else question.choices[picked]
        sample.correct = picked == question.correct
        sample.score = float(sample.correct)
        sample.choices = list(question.choices)[:26]
        return sample

    async def _score(self, endpoint: Endpoint, question: Question) -> Sample:
        if self._prompter is not None:
            text = self._prompter.text(question)
            ids = self._prompter.prompt(question)
            answers = [self._prompter.answer(question, ids, choice) for choice in question.choices]
            rows: list[Any] = [[*ids, *answer] for answer in answers]
            begins = len(ids)
        else:
            text = plain_prompt(question.messages)
            rows = [f"{text} {choice}" for choice in question.choices]
            begins = 0
        sums, means = [], []
        for start in range(0, len(rows), _ECHO_ROWS):
            part = rows[start : start + _ECHO_ROWS]
            for row, logprobs in zip(part, await endpoint.echo(part), strict=True):
                scores = _answer_scores(logprobs, row, begins, len(text))
                sums.append(sum(scores))
                means.append(sum(scores) / max(len(scores), 1))
        return choice_sample(
            question, text, sums, means, normalise=self.config.normalise, truncated=False, tokens=begins or len(text) // 4
        )


def _answer_scores(logprobs: dict[str, Any], row: Any, begins: int, characters: int) -> list[float]:
    """Log-probabilities of the answer's tokens: by number for token prompts, by `text_offset` for text prompts."""
    values = logprobs.get("token_logprobs") or []
    if isinstance(row, list):
        picked = values[begins : len(row)]
    else:
        offsets = logprobs.get("text_offset") or []
        if len(offsets) != len(values):
            raise UserError("endpoint.no_offsets", "The endpoint gives log-probabilities without text offsets; use generation.")
        pairs = zip(offsets, values, strict=True)
        picked = [value for offset, value in pairs if characters <= offset < len(row)]
    if not picked or any(value is None for value in picked):
        raise RequestRefused("the answer lacks log-probabilities of some tokens")
    return [float(value) for value in picked]


def _first(content: dict[str, Any]) -> dict[str, Any]:
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices:
        raise RequestRefused("the answer has no choices")
    return dict(choices[0])


def _plain(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    try:
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        read = arguments
    return {"name": function.get("name"), "arguments": read}


def _wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as the OpenAI API wants them: the arguments of tool calls are JSON text."""
    wire = plain_messages(messages)
    for message in wire:
        for number, call in enumerate(message.get("tool_calls") or []):
            function = call.get("function", call)
            if not isinstance(function.get("arguments"), str):
                function = {**function, "arguments": json.dumps(function.get("arguments", {}), ensure_ascii=False)}
            message["tool_calls"][number] = {"id": f"call_{number}", "type": "function", **call, "function": function}
    return wire

"""Puts an examination to a model in memory, in batches that are the same however often the run is interrupted."""

from collections.abc import Callable, Iterator, Sequence

from workers.evaluate.generating import Generated, generate
from workers.evaluate.likelihood import Item, Scorer
from workers.evaluate.local import LocalModel
from workers.evaluate.prompts import PLAIN_STOPS, Prompter
from workers.evaluate.questions import Question
from workers.evaluate.samples import Sample, choice_sample, free_sample
from workers.spec.errors import UserError
from workers.spec.evaluate import EvalSpec

_MAX_MASK = 24_000_000
_MAX_ROWS = 256


class LocalExaminer:
    """`units` are the batches (indices into the questions); `ask` answers one."""

    def __init__(self, local: LocalModel, questions: Sequence[Question], spec: EvalSpec) -> None:
        self.local = local
        self.questions = questions
        self.config = spec.config
        self.batch_tokens = spec.batch_tokens
        self.prompter = Prompter(local.template, spec.config.chat)
        self.template_hash: str | None = local.template.hash
        self.truncated = [False] * len(questions)
        self.prompts = [self.prompter.prompt(question) for question in questions]
        self.items: list[Item] = []
        if self.config.method == "multiple_choice":
            self._prepare_choices()
        else:
            self._trim(range(len(questions)), lambda index: self.config.max_new_tokens)
            self.way = "generation"
            self.units = self._batches([len(prompt) + self.config.max_new_tokens for prompt in self.prompts], 0)

    def _prepare_choices(self) -> None:
        answers = [
            [self.prompter.answer(question, prompt, choice) for choice in question.choices]
            for question, prompt in zip(self.questions, self.prompts, strict=True)
        ]
        self._trim(range(len(self.questions)), lambda index: max(map(len, answers[index])))
        self.items = [Item(prompt, own) for prompt, own in zip(self.prompts, answers, strict=True)]
        self.scorer = Scorer(self.local, self.items)
        self.way = f"log-likelihood ({self.scorer.way})"
        self.units = self._batches([self.scorer.size(item) for item in self.items], len(self.scorer.prefix))

    def _trim(self, indices: Sequence[int], room: Callable[[int], int]) -> None:
        for index in indices:
            if room(index) >= self.local.context:
                raise UserError(
                    "evaluation.answers_too_long",
                    "The answers may be {tokens} tokens long but the model's context has only {context}; allow fewer new tokens.",
                    tokens=room(index),
                    context=self.local.context,
                )
            prompt = self.local.trimmed(self.prompts[index], room(index))
            self.truncated[index] = len(prompt) < len(self.prompts[index])
            self.prompts[index] = prompt

    def _batches(self, sizes: Sequence[int], prefix: int) -> list[list[int]]:
        """Of like lengths, the longest first, each at most `batch_tokens` after padding."""
        batches: list[list[int]] = []
        widest = 0
        for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
            rows = len(batches[-1]) + 1 if batches else 1
            fits = rows * widest <= self.batch_tokens and rows * widest * (widest + prefix) <= _MAX_MASK and rows <= _MAX_ROWS
            if batches and fits:
                batches[-1].append(index)
            else:
                batches.append([index])
                widest = max(sizes[index], 1)
        return batches

    def ask(self, units: Sequence[list[int]]) -> Iterator[list[Sample]]:
        for unit in units:
            yield self._ask_choices(unit) if self.items else self._ask_freely(unit)

    def _ask_choices(self, unit: list[int]) -> list[Sample]:
        items = [self.items[index] for index in unit]
        self.scorer.score(items)
        return [
            choice_sample(
                self.questions[index],
                self.prompter.text(self.questions[index]),
                item.scores,
                item.normalised,
                normalise=self.config.normalise,
                truncated=self.truncated[index],
                tokens=len(item.prompt),
            )
            for index, item in zip(unit, items, strict=True)
        ]

    def _ask_freely(self, unit: list[int]) -> list[Sample]:
        stops = None if self.prompter.chat else self._has_plain_end
        prompts = [self.prompts[index] for index in unit]
        answers = generate(self.local, prompts, self.config.max_new_tokens, stops_text=stops)
        return [self._free_sample(index, answer) for index, answer in zip(unit, answers, strict=True)]

    def _has_plain_end(self, token_ids: list[int]) -> bool:
        return any(stop in self.local.template.decode(token_ids[-8:]).lstrip() for stop in PLAIN_STOPS)

    def _free_sample(self, index: int, answer: Generated) -> Sample:
        question = self.questions[index]
        # Tool calls may be written with special tokens, which an ordinary answer does not show.
        calls = self.config.metric == "tool_call"
        output = self.local.template.decode(answer.token_ids, skip_special_tokens=not calls)
        if not self.prompter.chat:
            output = output.strip()
            for stop in PLAIN_STOPS:
                output = output.partition(stop)[0]
        return free_sample(
            question,
            self.prompter.text(question),
            output,
            spec=self.config,
            truncated=self.truncated[index],
            unfinished=not answer.ended,
            prompt_tokens=len(self.prompts[index]),
            output_tokens=len(answer.token_ids),
        )

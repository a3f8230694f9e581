"""Group relative policy optimisation (Shao et al. 2024) with rewards that can be checked: an answer is right or it is not.

Each step asks some questions, draws several answers to each, scores them as an evaluation would, and makes those likelier
that were better than their group. Answers follow from the seed, the step and the weights, so a resumed run draws the same,
and so do several processes, which share the questions of each step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workers.data.templates import ChatTemplate
from workers.evaluate.answers import judge
from workers.evaluate.questions import Question
from workers.evaluate.questions import prepare as prepare_questions
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.evaluate import SuiteConfig
from workers.spec.train import GrpoSpec
from workers.train import held_out, models, recipe
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.objective import Figures
from workers.train.packing import Documents, split_by_tokens
from workers.train.policy_job import PolicyJob
from workers.train.sampling import draw, looker
from workers.train.session import Session, run_job
from workers.train.team import whole_weights

MOST_STEPS = 500
MOST_HELD_OUT = 64
"""Questions that are asked at each look."""
SLOWER = 0.1
"""Share of the learning rate of fine-tuning."""
EVEN = 1e-4
"""Added to the spread of a group's rewards, so that a group without any gives no advantage to anybody."""


def run(program: Program) -> Mapping[str, Any]:
    spec = GrpoSpec.model_validate(program.run.spec)
    return run_job(GrpoJob(Session(program, spec), spec))


class GrpoJob(PolicyJob):
    """The steps of one run, in order: `prepare`, `loop`, `save`."""

    spec: GrpoSpec

    def prepare(self) -> None:
        core = self.open()
        questions, prompts = self._questions(models.context_length(core))
        aside = self._aside(prompts)
        self.questions = [(questions[at], prompts[at]) for at in np.flatnonzero(~aside)]
        self.aside = [(questions[at], prompts[at]) for at in np.flatnonzero(aside)][:MOST_HELD_OUT]
        self.network = self.policy.prepare(core)
        self.reference = self._reference()
        counts = dict(self.dropped.counts)
        self.program.sample("dataset", examples=len(self.questions), held_out=len(self.aside), dropped=counts)

    def _questions(self, context: int) -> tuple[list[Question], list[list[int]]]:
        spec = self.spec
        config = SuiteConfig(
            method="generation", metric=spec.reward, instruction=spec.instruction, system_prompt=spec.system_prompt
        )
        found = prepare_questions(self.records(), config, spec.seed)
        for reason, count in found.dropped.items():
            self.dropped.counts[reason] += count
            self.dropped.first.setdefault(reason, "")
        limit = min(spec.max_length or context, context - spec.max_new_tokens)
        prompts = [self.template.encode_prompt(question.messages, question.tools) for question in found.questions]
        fitting = [at for at, prompt in enumerate(prompts) if len(prompt) <= limit]
        for at in set(range(len(prompts))) - set(fitting):
            self.dropped.add(f"longer than {limit} tokens", found.questions[at].messages[-1].content)
        self.dropped.report(self.program)
        if not fitting:
            raise UserError(
                "sft.all_too_long",
                "All {count} records are longer than {limit} tokens; shorten them or choose a model with a longer context.",
                count=len(prompts),
                limit=limit,
            )
        return [found.questions[at] for at in fitting], [prompts[at] for at in fitting]

    def _aside(self, prompts: list[list[int]]) -> np.ndarray:
        lengths = np.array([len(prompt) for prompt in prompts])
        contents = (np.asarray(prompt) for prompt in prompts)
        return held_out.choose(contents, lengths, self.spec.held_out_fraction, self.spec.seed)

    def _reference(self) -> Network | None:
        """A second copy of the base, only where the model must be held to it and cannot be turned back into it."""
        if not self.spec.beta or self.policy.can_be_its_base:
            return None
        core = self.policy.open_base().to(self.network.core.dtype).requires_grad_(False)
        return Network(core, self.session.device, self.choices["precision"])

    @property
    def longest(self) -> int:
        return max(len(prompt) for _, prompt in self.questions) + self.spec.max_new_tokens

    def loop(self) -> Loop:
        spec, given = self.spec, self.spec.optimisation
        objective = Groups(self)
        rate = recipe.choose_learning_rate(given, self.choices["parameters"], self.choices["method"])
        steps = spec.steps or min(MOST_STEPS, max(1, round(len(self.questions) / spec.questions_per_step)))
        made = recipe.make_recipe(
            given,
            total_steps=steps,
            tokens_per_step=max(1, round(float(objective.lengths.mean()) * spec.questions_per_step)),
            learning_rate=rate if given.learning_rate is not None else rate * SLOWER,
            core=self.network.core,
            device=self.session.device,
            time_budget_seconds=spec.time_budget_seconds,
            seed=spec.seed,
        )
        objective.limit, objective.told_every = made.micro_batch_tokens, max(1, steps // 10)
        look = looker(self.session, self.network, self.template, spec)
        return Loop(session=self.session, objective=objective, recipe=made, choices=self.choices, look=look)

    def save(self, loop: Loop) -> dict[str, Any]:
        return self.finish(loop, "grpo", len(self.questions), len(self.aside))


class Groups:
    """The objective: a unit is a question with its group of answers."""

    def __init__(self, job: GrpoJob) -> None:
        self.job, self.spec, self.network, self.team = job, job.spec, job.network, job.session.team
        self.template: ChatTemplate = job.template
        asked = [len(prompt) for _, prompt in job.questions]
        self.lengths = (np.array(asked) + self.spec.max_new_tokens) * self.spec.answers  # at most; the plan needs no more
        self.weights = np.ones(len(asked))
        self.held_out = np.array([len(prompt) + self.spec.max_new_tokens for _, prompt in job.aside], dtype=np.int64)
        self.limit, self.told_every = 1 << 30, 1
        self._drawn: dict[int, tuple[Documents, np.ndarray]] = {}

    def sizes(self, chosen: np.ndarray) -> np.ndarray:
        return np.concatenate([self._drawn[unit][0].lengths for unit in chosen.tolist()])

    def supervised(self, chosen: np.ndarray) -> int:
        return int(self.weights[chosen].sum())

    def names(self, held_out: bool) -> Sequence[str]:
        return ("reward",) if held_out else ()

    def show(self, unit: int) -> str:
        return self.job.questions[unit][0].messages[-1].content[:120]

    # Asking

    def begin(self, step: int, chosen: np.ndarray) -> None:
        """Draw and score the answers of this step; each process draws those of the questions that it will learn."""
        answers_of, self._drawn = self._answers(step, chosen), {}
        rewards: list[float] = []
        for unit in chosen.tolist():
            question, prompt = self.job.questions[unit]
            answers = answers_of[unit]
            scores = np.array([self._score(question, ids) for ids in answers])
            advantages = (scores - scores.mean()) / (scores.std() + EVEN)
            rows = [(prompt + ids, [False] * len(prompt) + [True] * len(ids)) for ids in answers]
            self._drawn[unit] = (Documents.of(rows), advantages)
            self.weights[unit] = sum(map(len, answers))
            rewards += scores.tolist()
            if step % self.told_every == 0 and unit == chosen[0]:
                self._tell(step, question, answers, scores)
        even = [not advantages.any() for _, advantages in self._drawn.values()]
        answered = self.supervised(chosen) / max(1, len(rewards))
        figures = {"reward": float(np.mean(rewards)), "answer_tokens": answered, "even_groups": float(np.mean(even))}
        self.job.program.metric(step + 1, **figures)

    def _answers(self, step: int, chosen: np.ndarray) -> dict[int, list[list[int]]]:
        """The groups of all questions of a step. They follow from the seed, the step and the question, whoever draws them."""
        own = self.team.share(chosen, self.lengths)[self.team.rank]
        drawn: dict[int, list[list[int]]] = {}
        with whole_weights(self.network.core, self.spec.parallel):
            for unit in own.tolist():
                seed = int(np.random.SeedSequence([self.spec.seed & 0xFFFFFFFF, step, unit]).generate_state(1)[0])
                drawn[unit] = self._draw(self.job.questions[unit][1], self.spec.answers, self.spec.temperature, seed)
        return {unit: answers for part in self.team.exchange(drawn) for unit, answers in part.items()}

    def _draw(self, prompt: list[int], count: int, temperature: float, seed: int) -> list[list[int]]:
        """Answers as tokens, the one that ends an answer included."""
        self.team.check_stop_alone(self.job.program)
        stops = set(self.template.stop_token_ids)
        return draw(self.network, prompt, stops, count=count, most=self.spec.max_new_tokens, temperature=temperature, seed=seed)

    def _score(self, question: Question, ids: list[int]) -> float:
        kept = [token for token in ids if token not in self.template.stop_token_ids]
        return float(judge(question, self.template.decode(kept), self.spec.reward, self.spec.ignore_case)[1])

    def _tell(self, step: int, question: Question, answers: list[list[int]], scores: np.ndarray) -> None:
        told = [{"text": self.template.decode(ids), "reward": score} for ids, score in zip(answers, scores.tolist(), strict=True)]
        self.job.program.sample("group", step=step, prompt=question.messages[-1].content[:300], answers=told[:4])

    # Learning

    def learn(self, units: np.ndarray, scale: float) -> Figures:
        """Answers of groups in which all were equally good teach nothing and are not even run."""
        total, passes = 0.0, [some for unit in units.tolist() for some in self._passes(unit)]
        for number in range(self.team.most(len(passes))):
            if number < len(passes):
                total += self._learn(*passes[number], scale)
            else:  # other processes have more to learn, and wait for this one in each pass and in the sum of gradients
                documents = self._drawn[int(units[0])][0]
                shortest = documents.select(documents.lengths.argsort()[:1])
                self._learn(shortest, np.zeros(1), 0.0)
        return Figures(loss=total)

    def _passes(self, unit: int) -> list[tuple[Documents, np.ndarray]]:
        documents, advantages = self._drawn[unit]
        useful = np.arange(len(documents)) if self.spec.beta else np.flatnonzero(advantages)
        cut = split_by_tokens(useful, documents.lengths, self.limit) if len(useful) else []
        return [(documents.select(some), advantages[some]) for some in cut]

    def _learn(self, documents: Documents, advantages: np.ndarray, scale: float) -> float:
        per_token = torch.from_numpy(advantages[documents.places()]).float().to(self.network.device)
        reference = self._reference_log_probs(documents) if self.spec.beta else None
        with self.network.differentiating(documents):
            values = self.network.token_log_probs(documents, self.spec.temperature)
            # One step on fresh answers: the ratio of new to old probabilities is 1, its gradient that of the logarithm.
            losses = -per_token * torch.exp(values - values.detach())
            if reference is not None:
                behind = reference - values
                losses = losses + self.spec.beta * (torch.exp(behind) - behind - 1)
            total = losses.sum()
            (total * scale).backward()
        return float(total.detach())

    def _reference_log_probs(self, documents: Documents) -> torch.Tensor:
        if self.job.reference is not None:
            with self.job.reference.evaluating():
                return self.job.reference.token_log_probs(documents, self.spec.temperature)
        with self.job.policy.disabled(), self.network.evaluating():
            return self.network.token_log_probs(documents, self.spec.temperature)

    def look(self, units: np.ndarray) -> tuple[Figures, float]:
        """The most likely answer to each held-out question: `loss` is the share of wrong ones."""
        right = 0.0
        with whole_weights(self.network.core, self.spec.parallel):
            for unit in units.tolist():
                question, prompt = self.job.aside[unit]
                right += self._score(question, self._draw(prompt, 1, 0.0, 0)[0])
        return Figures(loss=len(units) - right, reward=right), float(len(units))

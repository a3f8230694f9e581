"""Several runs beside each other: what each answered last to the questions that they were all asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webapp.jobs.models import Job, JobEvent

MOST_QUESTIONS = 8
LOOKED_AT = 64
"""Newest answers of a run that are looked at: the last look has at most eight."""


@dataclass(frozen=True)
class Question:
    """`answers`: (step, text) of each run in order; None where it was not asked. `expected`: the data's, where they have it."""

    prompt: str
    answers: list[tuple[int, str] | None]
    expected: str = ""

    @property
    def answered(self) -> int:
        return sum(answer is not None for answer in self.answers)


def last_answers(jobs: Sequence[Job]) -> list[Question]:
    """Questions that most runs answered come first."""
    found = [_last(job) for job in jobs]
    prompts = dict.fromkeys(prompt for answers in found for prompt in answers)
    questions = [_question(prompt, [answers.get(prompt) for answers in found]) for prompt in prompts]
    return sorted(questions, key=lambda question: -question.answered)[:MOST_QUESTIONS]


Said = tuple[int, str, str]
"""Step, text, and the data's answer."""


def _question(prompt: str, said: Sequence[Said | None]) -> Question:
    """Runs over different data may expect different answers; then none is shown."""
    expected = {answer[2] for answer in said if answer is not None}
    return Question(prompt, [answer and answer[:2] for answer in said], expected.pop() if len(expected) == 1 else "")


def _last(job: Job) -> dict[str, Said]:
    """prompt → the newest answer, in the order of asking."""
    events = JobEvent.objects.filter(job=job, type="sample", data__name="answer").order_by("-seq")[:LOOKED_AT]
    newest: dict[str, Said] = {}
    for event in events:
        data: dict[str, Any] = event.data.get("data") or {}
        said = (int(data.get("step", 0)), str(data.get("text", "")), str(data.get("expected", "")))
        newest.setdefault(str(data.get("prompt", "")), said)
    return dict(reversed(newest.items()))

"""The answers of one evaluation: kept as they come, so that a killed run goes on; in order of the dataset at the end."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workers.evaluate.answers import judge
from workers.evaluate.questions import Question
from workers.spec.evaluate import SuiteConfig


@dataclass
class Sample:
    """One question as it was asked and answered. `scores`: log-likelihoods of the choices, summed and per token.

    `prompt` is the text that the model read, `turns` the conversation that it says, `tools` the names of the offered tools.
    """

    position: int
    record_id: str
    prompt: str
    reference: str
    output: str
    extracted: str
    correct: bool
    score: float
    turns: list[dict[str, Any]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    label: str | None = None
    predicted: str | None = None
    choices: list[str] | None = None
    reference_index: int | None = None
    scores: list[float] = field(default_factory=list)
    normalised_scores: list[float] = field(default_factory=list)
    truncated: bool = False
    unfinished: bool = False
    error: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0


MAX_LISTED_CHOICES = 26


def choice_sample(
    question: Question, prompt: str, sums: list[float], means: list[float], *, normalise: bool, truncated: bool, tokens: int
) -> Sample:
    """The choice with the highest score is the answer; the first one where several are equal."""
    counted = means if normalise else sums
    picked = counted.index(max(counted))
    right = picked == question.correct
    return Sample(
        position=question.position,
        record_id=question.record_id,
        prompt=prompt,
        reference=question.reference,
        output=question.choices[picked],
        extracted=question.choices[picked],
        correct=right,
        score=float(right),
        **_conversation(question),
        label=question.label,
        predicted=_label_of(question, picked),
        reference_index=question.correct,
        choices=list(question.choices) if len(question.choices) <= MAX_LISTED_CHOICES else None,
        scores=[round(value, 4) for value in sums],
        normalised_scores=[round(value, 4) for value in means],
        truncated=truncated,
        prompt_tokens=tokens,
    )


def _conversation(question: Question) -> dict[str, Any]:
    turns = [message.model_dump(mode="json", exclude_defaults=True) for message in question.messages]
    return {"turns": turns, "tools": [name for tool in question.tools or [] if (name := _tool_name(tool))]}


def _tool_name(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str((function if isinstance(function, dict) else tool).get("name") or "")


def _label_of(question: Question, picked: int) -> str | None:
    """The picked answer in the words of `label`: the letter of a lettered choice, else the label itself."""
    if question.label is None:
        return None
    choice = question.choices[picked]
    lettered = question.label != question.reference and question.reference.startswith(f"{question.label}. ")
    return choice.partition(". ")[0] if lettered else choice


def free_sample(
    question: Question,
    prompt: str,
    output: str,
    *,
    spec: SuiteConfig,
    truncated: bool = False,
    unfinished: bool = False,
    prompt_tokens: int = 0,
    output_tokens: int = 0,
) -> Sample:
    """A free answer and whether it is right."""
    extracted, right = judge(question, output, spec.metric, spec.ignore_case)
    return Sample(
        position=question.position,
        record_id=question.record_id,
        prompt=prompt,
        reference=json.dumps(question.calls, ensure_ascii=False) if question.calls else question.reference,
        output=output,
        extracted=extracted,
        correct=right,
        score=float(right),
        **_conversation(question),
        label=question.label,
        truncated=truncated,
        unfinished=unfinished,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


class SampleLog:
    """Finished samples by position, in an append-only file that belongs to one `key` (spec, data and model)."""

    def __init__(self, path: Path, key: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.done: dict[int, Sample] = {}
        kept = self._read(path, key)
        if kept is None:
            path.write_bytes(json.dumps({"key": key}).encode() + b"\n")
        else:
            os.truncate(path, kept)
        self._file = path.open("ab")

    def _read(self, path: Path, key: str) -> int | None:
        """Load what is whole; returns how many bytes that is, or None when the file is of another run."""
        if not path.exists():
            return None
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines()
        if not lines or json.loads(lines[0]).get("key") != key:
            return None
        for line in lines[1:]:
            sample = Sample(**json.loads(line))
            self.done[sample.position] = sample
        return whole

    def add(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            self.done[sample.position] = sample
            self._file.write(_line(sample))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def write_in_order(self, path: Path) -> None:
        """All samples in the order of the dataset, without empty fields."""
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            for position in sorted(self.done):
                file.write(_line(self.done[position]))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _line(sample: Sample) -> bytes:
    shown: dict[str, Any] = {name: value for name, value in asdict(sample).items() if value not in (None, [])}
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"

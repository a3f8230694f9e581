"""The job `assist`: learns from what was labelled so far and proposes answers to the open tasks, in seconds and without a GPU."""

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from workers.prelabel.asking import record_words
from workers.prelabel.classes import Classifier
from workers.prelabel.comparing import same
from workers.prelabel.correcting import Corrector
from workers.prelabel.marking import Marker
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.prelabel import AssistSpec

Line = Mapping[str, Any]
FOLDS = 5
ONE_FOLD_FROM = 1500
"""So many labels make one held-out fifth precise enough."""
FEWEST = 2
SCORED_AT_ONCE = 2000
RANKED_FROM = 21
"""Shorter lists of choices have a key for each of them."""
RANKED = 9
"""As many as there are digits."""


class Learner(Protocol):
    def learn(self, texts: Sequence[str], values: Sequence[Any]) -> None: ...

    def propose(self, texts: Sequence[str]) -> list[tuple[Any, float]]: ...


class Assistant:
    """A learner for each question that it can answer."""

    def __init__(self, fields: Sequence[dict[str, Any]], corpus: Sequence[Line]) -> None:
        self.fields = fields
        self.corpus = corpus
        self.learners: dict[str, Learner] = {}

    def learn(self, lines: Sequence[Line]) -> None:
        for field in self.fields:
            name = field["name"]
            known = [line for line in lines if line["answers"].get(name) is not None]
            if len(known) < FEWEST:
                continue
            learner = self._learner(field)
            learner.learn([text_of(field, line) for line in known], [_stored(field, line["answers"][name]) for line in known])
            self.learners[name] = learner

    def _learner(self, field: Mapping[str, Any]) -> Learner:
        if field["type"] == "spans":
            return Marker()
        if field["type"] == "text":
            return Corrector(text_of(field, line) for line in self.corpus)
        return Classifier(plural=bool(field.get("multiple")) or field["type"] == "tree")

    def propose(self, lines: Sequence[Line]) -> list[tuple[dict[str, Any], float | None]]:
        """({question: answer}, how sure of the least sure one) of each line."""
        answers: list[dict[str, Any]] = [{} for _ in lines]
        scores: list[list[float]] = [[] for _ in lines]
        for field in self.fields:
            learner = self.learners.get(field["name"])
            if learner is None:
                continue
            for at, (value, score) in enumerate(learner.propose([text_of(field, line) for line in lines])):
                shown = _answer(field, value)
                scores[at].append(score)
                if shown is not None:
                    answers[at][field["name"]] = shown
        return [(answer, min(score) if score else None) for answer, score in zip(answers, scores, strict=True)]

    def ranked(self, lines: Sequence[Line]) -> list[dict[str, list[Any]]]:
        """{question: likeliest answers} of each line, for long lists of choices: the page offers them first."""
        found: list[dict[str, list[Any]]] = [{} for _ in lines]
        for field in self.fields:
            learner = self.learners.get(field["name"])
            if isinstance(learner, Classifier) and field["type"] == "choice" and len(field["choices"]) > RANKED_FROM:
                for row, values in zip(found, learner.ranked([text_of(field, line) for line in lines], RANKED), strict=True):
                    if values:
                        row[field["name"]] = values
        return found


def text_of(field: Mapping[str, Any], line: Line) -> str:
    """What is read: marks and corrections need the very text, everything else the whole record in words."""
    data = line["data"]
    return str(data.get("text") or "") if field["type"] in {"spans", "text"} else record_words(data)


def _stored(field: Mapping[str, Any], value: Any) -> Any:
    if field["type"] == "tree":
        return tuple("\x1f".join(path) for path in value)
    return tuple(value) if field.get("multiple") else value


def _answer(field: Mapping[str, Any], value: Any) -> Any:
    """As labelling keeps it; None: nothing is proposed."""
    if field["type"] == "tree":
        return [path.split("\x1f") for path in value] or None
    return (list(value) or None) if field.get("multiple") else value


def held_out_accuracy(
    program: Program, fields: Sequence[dict[str, Any]], lines: Sequence[Line], corpus: Sequence[Line]
) -> tuple[int, int]:
    """(right, asked): whole proposals for tasks that were not learnt, against what people said."""
    mixed = list(lines)
    random.Random(len(mixed)).shuffle(mixed)
    if len(mixed) < 2 * FOLDS:
        return 0, 0
    right = asked = 0
    for fold in range(1 if len(mixed) >= ONE_FOLD_FROM else FOLDS):
        program.check_stop()
        program.progress(fold, FOLDS, unit="checks")
        kept = mixed[fold::FOLDS]
        assistant = Assistant(fields, corpus)
        assistant.learn([line for number, line in enumerate(mixed) if number % FOLDS != fold])
        for line, (answers, _score) in zip(kept, assistant.propose(kept), strict=True):
            known = [field for field in fields if field["name"] in line["answers"]]
            asked += 1
            right += all(same(field, answers.get(field["name"]), line["answers"][field["name"]]) for field in known)
    return right, asked


def assist(program: Program) -> Mapping[str, Any]:
    spec = AssistSpec.model_validate(program.run.spec)
    lines, tasks = _read(program, "labelled"), _read(program, "tasks")
    if len(lines) < FEWEST:
        raise UserError("assist.too_few", "There are too few labels to learn from; label a few records first.")
    started = time.monotonic()
    program.phase("checking")
    right, asked = held_out_accuracy(program, spec.fields, lines, [*lines, *tasks])
    program.phase("training")
    program.check_stop()
    assistant = Assistant(spec.fields, [*lines, *tasks])
    assistant.learn(lines)
    learnt = time.monotonic()
    program.phase("scoring")
    answered = _write(program, spec, assistant, tasks)
    return {
        "labels": len(lines),
        "asked": len(tasks),
        "answered": answered,
        "held_out": asked,
        "right": right,
        "accuracy": right / asked if asked else None,
        "learning_seconds": round(learnt - started, 3),
        "scoring_seconds": round(time.monotonic() - learnt, 3),
    }


def _read(program: Program, role: str) -> list[Line]:
    with program.run.file(role).path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _write(program: Program, spec: AssistSpec, assistant: Assistant, tasks: Sequence[Line]) -> int:
    types = {field["name"]: field["type"] for field in spec.fields}
    path, answered = program.run.output_dir / "predictions.jsonl", 0
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, len(tasks), SCORED_AT_ONCE):
            program.check_stop()
            chunk = tasks[start : start + SCORED_AT_ONCE]
            for task, (answers, score), ranked in zip(chunk, assistant.propose(chunk), assistant.ranked(chunk), strict=True):
                value = [{"q": name, "type": types[name], "value": answer} for name, answer in answers.items()]
                answered += bool(value)
                line = {"task": task["task"], "value": value, "score": score, **({"ranked": ranked} if ranked else {})}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            program.progress(start + len(chunk), len(tasks), unit="tasks")
    program.artifact("predictions", path, count=len(tasks))
    return answered

"""Pre-labels: questions put to a model, and its words read as answers (S6.9, S6.10)."""

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.workers.evaluate.test_endpoint import serving
from workers.prelabel.asking import messages_for, read_answer
from workers.prelabel.program import prelabel
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.prelabel import PrelabelSpec
from workers.spec.run import FileInput, ModelInput, RunFile

LABEL: dict[str, Any] = {"name": "label", "type": "choice", "choices": [{"value": "card"}, {"value": "cash"}]}
NAMES: dict[str, Any] = {"name": "names", "type": "spans", "labels": [{"value": "person"}, {"value": "place"}]}
DRAFT: dict[str, Any] = {"name": "answer", "type": "text", "source": "messages.last"}
BETTER: dict[str, Any] = {"name": "better", "type": "pairwise", "options": ["a", "b", "tie", "both_bad"]}
STARS: dict[str, Any] = {"name": "stars", "type": "rating", "min": 1, "max": 5}
TALK = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "old"}]}


def said(words: str, *tokens: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"content": words}, "logprobs": {"content": list(tokens)} if tokens else None}


def token(text: str, **shares: float) -> dict[str, Any]:
    top = [{"token": name, "logprob": math.log(share)} for name, share in shares.items()]
    return {"token": text, "logprob": math.log(shares.get(text, 0.5)), "top_logprobs": top}


def test_choice_is_scored_by_the_probabilities_of_its_letters() -> None:
    value, score = read_answer(LABEL, {}, said("B", token("B", A=0.2, B=0.6, C=0.1)))
    assert value == "cash"
    assert score == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("field", "words", "value"),
    [
        (LABEL, "A.", "card"),
        (LABEL, "<think>B?</think>It is cash", "cash"),
        (LABEL, "none of them", None),
        ({**LABEL, "multiple": True}, "B", ["cash"]),
        (BETTER, "D", "both_bad"),
        (STARS, "I say 4 of 5", 4),
        (STARS, "9", None),
        (STARS, "3.5", None),
        ({**STARS, "type": "number"}, "3.5", 3.5),
        (DRAFT, " a better answer ", "a better answer"),
        (DRAFT, "", None),
        (NAMES, "no list", None),
    ],
)
def test_words_are_read_as_answers(field: dict[str, Any], words: str, value: Any) -> None:
    assert read_answer(field, {}, said(words))[0] == value


def test_spans_are_found_in_the_text_once_each() -> None:
    words = '```json\n[{"text":"Ada","label":"person"},{"text":"Ada","label":"person"},{"text":"Rome","label":"city"}]\n```'
    value, _ = read_answer(NAMES, {"text": "👩‍🚀 Ada met Ada in Rome."}, said(words))
    assert [(span["start"], span["end"]) for span in value] == [(4, 7), (12, 15)]


def test_drafts_go_on_with_the_conversation_and_judgements_see_the_answers() -> None:
    assert messages_for(DRAFT, TALK) == [{"role": "user", "content": "hi"}]
    told = messages_for(BETTER, {"responses": [{"content": "one"}, {"content": "two"}]})[0]["content"]
    assert "Answer A:\none" in told
    assert "D. Both are bad" in told


def run(folder: Path, url: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    tasks = folder / "tasks.jsonl"
    tasks.write_text("".join(json.dumps({"task": number, "data": {"text": f"text {number}"}}) + "\n" for number in range(5)))
    spec = PrelabelSpec(project=1, deployment=1, version="tiny", fields=fields)
    model = ModelInput(id=1, name="tiny", base_url=url, addresses=["127.0.0.1"], remote_name="tiny")
    inputs: dict[str, Any] = {"model": model, "tasks": FileInput(name="tasks", path=tasks)}
    given = RunFile(
        job=1, kind="prelabel", spec=spec.model_dump(), inputs=inputs, run_dir=folder / "run", output_dir=folder / "output"
    )
    program = Program(given)
    with closing(program.events._file):
        return dict(prelabel(program))


def test_program_asks_about_every_task_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """An endpoint that tells no probabilities is asked without them; what was answered before is not asked again."""

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "logprobs" in body:
            return 400, {"error": {"message": "no logprobs here"}}
        return 200, {"choices": [{"message": {"content": "B"}}]}

    kept = tmp_path / "run" / "checkpoints" / "predictions.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"task": 0, "value": [], "score": null}\n{"task": 1, "val')
    with serving(answer) as (url, asked):
        result = run(tmp_path, url, [LABEL])
    assert result == {"asked": 5, "answered": 4}
    assert len([body for body in asked if "logprobs" not in body]) == 4
    lines = [json.loads(line) for line in (tmp_path / "output" / "predictions.jsonl").read_text().splitlines()]
    assert sorted(line["task"] for line in lines) == [0, 1, 2, 3, 4]
    assert lines[-1]["value"] == [{"q": "label", "type": "choice", "value": "cash"}]


def test_questions_that_no_language_model_answers_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="None of the questions"):
        run(tmp_path, "http://127.0.0.1:9", [{"name": "box", "type": "regions", "labels": []}])

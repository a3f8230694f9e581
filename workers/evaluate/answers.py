"""Compares an answer with its reference: equal words, contained words, equal tool calls."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.evaluate.questions import Question
from workers.spec.evaluate import Metric

_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_ACTION = re.compile(r"<\|action_start\|>\s*<\|plugin\|>\s*(.*?)\s*(?:<\|action_end\|>|$)", re.DOTALL)


def normalise(text: str, ignore_case: bool) -> str:
    """Runs of white space become one space; none at the ends."""
    words = " ".join(text.split())
    return words.casefold() if ignore_case else words


def without_thought(text: str) -> str:
    """The answer after the model's thinking; an unfinished thought is no answer."""
    rest = _THOUGHT.sub("", text)
    return "" if rest.lstrip().startswith("<think>") else rest


def judge(question: Question, output: str, metric: Metric, ignore_case: bool) -> tuple[str, bool]:
    """The extracted answer and whether it is right."""
    answer = without_thought(output)
    if metric == "tool_call":
        calls = calls_in(answer)
        return json.dumps(calls, ensure_ascii=False), calls == [plain_call(call) for call in question.calls or []]
    said, wanted = normalise(answer, ignore_case), normalise(question.reference, ignore_case)
    return said, said == wanted if metric == "exact" else wanted in said


def calls_in(text: str) -> list[dict[str, Any]]:
    """Tool calls written as `<tool_call>{…}</tool_call>`, as InternLM's action, or as a bare JSON object or list."""
    bodies = _CALL.findall(text) or _ACTION.findall(text) or [text.strip()]
    calls: list[dict[str, Any]] = []
    for body in bodies:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            continue
        items: Sequence[Any] = content if isinstance(content, list) else [content]
        calls += [plain_call(item) for item in items if isinstance(item, Mapping) and _function(item).get("name")]
    return calls


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    return function if isinstance(function, Mapping) else call


def plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Name and arguments; arguments given as JSON text are read, so that spelling does not count."""
    function = _function(call)
    arguments = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}


def chosen_by_words(question: Question, output: str) -> int | None:
    """Which choice an answer in words means: the choice itself, else its letter at the beginning; None when it is neither."""
    said = normalise(without_thought(output), ignore_case=True).strip(" .:()\"'")
    wordings = [normalise(choice, ignore_case=True) for choice in question.choices]
    if said in wordings:
        return wordings.index(said)
    letters = [match.group(1) if (match := re.match(r"([A-Z])\. ", choice)) else None for choice in question.choices]
    given = re.match(r"\W*([A-Za-z])(?![A-Za-z])", without_thought(output))
    if given and given.group(1).upper() in letters:
        return letters.index(given.group(1).upper())
    bare = [normalise(re.sub(r"^[A-Z]\. ", "", choice), ignore_case=True) for choice in question.choices]
    return bare.index(said) if said in bare else None

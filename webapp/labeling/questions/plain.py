"""Answers that are chosen, typed or counted: choice, tree, text, number, rating."""

import math
from collections.abc import Iterator
from typing import Any, TypeGuard

from webapp.datasets.words import clean
from webapp.labeling.questions.errors import AnswerError
from webapp.labeling.questions.fields import ChoiceField, Node, NumberField, RatingField, TextField, TreeField

LONGEST_TEXT = 200_000


def choice(field: ChoiceField, answer: Any) -> Any:
    wanted = answer if field.multiple else [answer]
    if not isinstance(wanted, list):
        raise AnswerError("list_expected", "The answer to “{field}” must be a list of choices.", field=field)
    known = [each.value for each in field.choices]
    for one in wanted:
        if one not in known:
            raise AnswerError(
                "not_a_choice", "“{choice}” is none of the choices of “{field}”.", field=field, choice=str(one)[:80]
            )
    return [each for each in known if each in wanted] if field.multiple else answer


def tree(field: TreeField, answer: Any) -> list[list[str]]:
    if not isinstance(answer, list) or not all(isinstance(path, list) and path for path in answer):
        raise AnswerError(
            "paths_expected", "The answer to “{field}” must be a list of paths, each a list of choices from the top.", field=field
        )
    if not field.multiple and len(answer) > 1:
        raise AnswerError("one_expected", "“{field}” takes one answer only; remove the others.", field=field)
    known = list(paths(field.nodes))
    for path in answer:
        if path not in known:
            shown = " / ".join(str(step) for step in path)[:120]
            raise AnswerError("not_in_tree", "“{path}” is no place in the tree of “{field}”.", field=field, path=shown)
    return [path for path in known if path in answer]


def paths(nodes: list[Node], before: list[str] | None = None) -> Iterator[list[str]]:
    """Every place in a tree, in its order."""
    for node in nodes:
        here = [*(before or []), node.value]
        yield here
        yield from paths(node.children, here)


def text(field: TextField, answer: Any) -> str:
    if not isinstance(answer, str):
        raise AnswerError("text_expected", "The answer to “{field}” must be a text.", field=field)
    if len(answer) > LONGEST_TEXT:
        raise AnswerError(
            "text_too_long",
            "The answer to “{field}” is longer than {limit} characters; shorten it.",
            field=field,
            limit=LONGEST_TEXT,
        )
    return clean(answer)


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(field: NumberField, answer: Any) -> int | float:
    if not is_number(answer):
        raise AnswerError("number_expected", "The answer to “{field}” must be a number.", field=field)
    within(field, answer, field.min, field.max)
    if field.step:
        steps = (answer - (field.min or 0)) / field.step
        if abs(steps - round(steps)) > 1e-6 * max(1.0, abs(steps)):
            raise AnswerError(
                "off_step",
                "{value} is between the steps of {step} that “{field}” has.",
                field=field,
                value=answer,
                step=field.step,
            )
    return answer


def rating(field: RatingField, answer: Any) -> int:
    if not is_number(answer) or answer != int(answer):
        raise AnswerError("whole_expected", "The answer to “{field}” must be a whole number.", field=field)
    within(field, answer, field.min, field.max)
    return int(answer)


def within(field: Any, value: float, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        raise AnswerError(
            "too_small", "{value} is less than “{field}” allows; {limit} is the least.", field=field, value=value, limit=low
        )
    if high is not None and value > high:
        raise AnswerError(
            "too_large", "{value} is more than “{field}” allows; {limit} is the most.", field=field, value=value, limit=high
        )

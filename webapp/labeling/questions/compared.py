"""Answers about responses and conversations: ranking, pairwise, ratings of responses, dialogues, verdicts on a trace."""

from typing import Any

from pydantic import ValidationError

from webapp.core.bodies import clean
from webapp.labeling.questions.errors import AnswerError
from webapp.labeling.questions.fields import (
    DialogueField,
    PairwiseField,
    RankingField,
    ResponseRatingField,
    TraceField,
)
from webapp.labeling.questions.plain import LONGEST_TEXT, is_number
from webapp.labeling.questions.records import at_source, responses_at
from workers.spec.record import Message

MOST_TURNS = 500


def ranking(field: RankingField, answer: Any, data: dict[str, Any]) -> list[list[str]]:
    """Places from the best on; each response stands in exactly one."""
    if not isinstance(answer, list) or not all(isinstance(place, list) and place for place in answer):
        raise AnswerError(
            "places_expected", "The answer to “{field}” must be a list of places, each a list of responses.", field=field
        )
    ranked = [name for place in answer for name in place]
    known = responses_at(data, field.source)
    for name in ranked:
        if name not in known:
            raise AnswerError(
                "no_such_response", "“{field}” names {id}, which is no response here.", field=field, id=str(name)[:40]
            )
        if ranked.count(name) > 1:
            raise AnswerError("ranked_twice", "Response {id} has two places in “{field}”.", field=field, id=name)
    missing = [name for name in known if name not in ranked]
    if missing:
        raise AnswerError("not_ranked", "Response {id} has no place in “{field}” yet.", field=field, id=missing[0])
    if not field.ties and any(len(place) > 1 for place in answer):
        raise AnswerError("no_ties", "“{field}” allows no ties; give every response a place of its own.", field=field)
    return [sorted(place, key=known.index) for place in answer]


def pairwise(field: PairwiseField, answer: Any) -> str:
    if answer not in field.options:
        raise AnswerError("not_a_choice", "“{choice}” is none of the choices of “{field}”.", field=field, choice=str(answer)[:80])
    return str(answer)


def response_rating(field: ResponseRatingField, answer: Any, data: dict[str, Any]) -> dict[str, dict[str, int]]:
    known = responses_at(data, field.source)
    if not isinstance(answer, dict) or not all(isinstance(given, dict) for given in answer.values()):
        raise AnswerError("ratings_expected", "The answer to “{field}” must hold ratings by response.", field=field)
    unknown = [name for name in answer if name not in known]
    if unknown:
        raise AnswerError(
            "no_such_response", "“{field}” names {id}, which is no response here.", field=field, id=str(unknown[0])[:40]
        )
    checked = {name: _ratings(field, name, answer[name]) for name in known if name in answer}
    if field.required:
        for name in known:
            for dimension in field.dimensions:
                if dimension.name not in checked.get(name, {}):
                    raise AnswerError(
                        "not_rated", "Response {id} has no rating for “{dimension}” in “{field}” yet.",
                        field=field, id=name, dimension=dimension.label or dimension.name,
                    )  # fmt: skip
    return {name: given for name, given in checked.items() if given}


def _ratings(field: ResponseRatingField, name: str, given: dict[str, Any]) -> dict[str, int]:
    limits = {dimension.name: dimension for dimension in field.dimensions}
    for dimension, value in given.items():
        if dimension not in limits:
            raise AnswerError("no_such_dimension", "“{field}” has no dimension {name}.", field=field, name=str(dimension)[:60])
        low, high = limits[dimension].min, limits[dimension].max
        if value is not None and (not is_number(value) or value != int(value) or not low <= value <= high):
            raise AnswerError(
                "rating_outside", "A rating in “{field}” must be a whole number from {low} to {high}; response {id} has {value}.",
                field=field, low=low, high=high, id=name, value=str(value)[:40],
            )  # fmt: skip
    return {dimension: int(given[dimension]) for dimension in limits if given.get(dimension) is not None}


def dialogue(field: DialogueField, answer: Any) -> list[dict[str, Any]]:
    """Canonical messages, as a dataset keeps them."""
    if not isinstance(answer, list) or len(answer) > MOST_TURNS:
        raise AnswerError(
            "turns_expected", "The answer to “{field}” must be a list of at most {limit} turns.", field=field, limit=MOST_TURNS
        )
    return [_turn(field, number, turn) for number, turn in enumerate(answer, 1)]


def _turn(field: DialogueField, number: int, given: Any) -> dict[str, Any]:
    try:
        turn = Message.model_validate(given).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise AnswerError(
            "bad_turn", "Turn {number} of “{field}” is no message with a role and a text.", field=field, number=number
        ) from error
    if turn["role"] not in field.roles:
        raise AnswerError(
            "wrong_role", "Turn {number} of “{field}” is by “{role}”, which has no part here.",
            field=field, number=number, role=turn["role"],
        )  # fmt: skip
    content = turn.get("content", "")
    if not content.strip() and not turn.get("tool_calls"):
        raise AnswerError("empty_turn", "Turn {number} of “{field}” is empty; write or remove it.", field=field, number=number)
    if len(content) > LONGEST_TEXT:
        raise AnswerError(
            "text_too_long", "The answer to “{field}” is longer than {limit} characters; shorten it.",
            field=field, limit=LONGEST_TEXT,
        )  # fmt: skip
    return {**turn, "content": clean(content)}


def trace(field: TraceField, answer: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(step, dict) for step in answer):
        raise AnswerError("verdicts_expected", "The answer to “{field}” must be a list of verdicts.", field=field)
    turns = at_source(data, field.source or "messages")
    count = len(turns) if isinstance(turns, list) else 0
    known = [each.value for each in field.verdicts]
    checked: dict[int, dict[str, Any]] = {}
    for step in answer:
        index, verdict, note = step.get("index"), step.get("verdict"), step.get("note") or ""
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
            raise AnswerError(
                "no_such_step", "“{field}” judges step {index}, which is not there.", field=field, index=str(index)[:40]
            )
        if index in checked:
            raise AnswerError("judged_twice", "Step {index} has two verdicts in “{field}”.", field=field, index=index)
        if verdict not in known:
            raise AnswerError(
                "not_a_choice", "“{choice}” is none of the choices of “{field}”.", field=field, choice=str(verdict)[:80]
            )
        if not isinstance(note, str) or len(note) > LONGEST_TEXT:
            raise AnswerError("text_expected", "The answer to “{field}” must be a text.", field=field)
        checked[index] = {"index": index, "verdict": verdict, **({"note": clean(note)} if note.strip() else {})}
    return [checked[index] for index in sorted(checked)]

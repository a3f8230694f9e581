"""Label schemas and the answers to them: checked when a project is made and at every submit. See `questions` for the types."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from webapp.core.errors import UserError
from webapp.datasets.words import clean
from webapp.labeling.questions import compared, marks, plain
from webapp.labeling.questions.errors import AnswerError
from webapp.labeling.questions.fields import (
    ANSWER_SOURCE,
    MOST_CHOICES,
    MOST_NODES,
    AnyField,
    Node,
    PairwiseField,
    Question,
    RatingField,
    RelationsField,
    ResponseRatingField,
    Schema,
    SpansField,
    TreeField,
)

__all__ = ["ANSWER_SOURCE", "MARKS", "MOST_CHOICES", "checked_schema", "checked_value", "labels_of"]

MARKS = frozenset({"spans", "regions", "segments", "frames", "relations"})
"""Types whose answer is any number of marks, none among them."""
DEEPEST_TREE = 12


def checked_schema(given: Any) -> dict[str, Any]:
    """The schema in its stored form. Choices and labels may be given as plain texts."""
    try:
        schema = Schema.model_validate(given)
    except RecursionError as error:
        raise _too_deep() from error
    except ValidationError as error:
        raise _bad_schema(error) from error
    _require_different("label.same_name", "Two questions have the name “{name}”; rename one.", [f.name for f in schema.fields])
    for index, field in enumerate(schema.fields):
        _require_sound(field)
        _require_links(field, schema.fields[:index])
    return _cleaned(schema.model_dump(exclude_none=True, by_alias=True))  # type: ignore[no-any-return]


def _bad_schema(error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return UserError("label.bad_schema", "The questions lack “{place}”; fill it in.", status=422, place=place)
    if first["type"] == "extra_forbidden":
        return UserError(
            "label.bad_schema", "The questions have “{place}”, which is not known here; remove it.", status=422, place=place
        )
    return UserError(
        "label.bad_schema",
        "The questions are not right at “{place}”: {reason}.",
        status=422,
        place=place,
        reason=first["msg"],
    )


def _require_sound(field: AnyField) -> None:
    """What the shape alone does not say: different choices, ends in order, trees of a sane size."""
    for choices in (getattr(field, name, None) for name in ("choices", "verdicts", "labels")):
        if choices and not isinstance(field, RatingField):
            _require_different_choices([choice.value for choice in choices])
    if isinstance(field, PairwiseField):
        _require_different_choices(field.options)
        if not {"a", "b"} <= set(field.options):
            raise AnswerError("no_sides", "“{field}” must offer both a and b.", field=field)
    if isinstance(field, ResponseRatingField):
        names = [dimension.name for dimension in field.dimensions]
        _require_different("label.same_dimension", "The dimension “{name}” stands there twice; remove one.", names)
    if isinstance(field, TreeField):
        _require_tree(field.nodes)
    for scale in [field, *(field.dimensions if isinstance(field, ResponseRatingField) else [])]:
        low, high = getattr(scale, "min", None), getattr(scale, "max", None)
        if low is not None and high is not None and low >= high:
            raise AnswerError("bad_range", "The scale of “{field}” must begin below its end.", field=field)
    if isinstance(field, RatingField) and field.labels and len(field.labels) != field.max - field.min + 1:
        raise AnswerError("scale_words", "“{field}” needs one word for each step of its scale, or none.", field=field)


def _require_tree(nodes: Sequence[Node]) -> None:
    count, level = 0, 1
    siblings: list[Sequence[Node]] = [nodes]
    while siblings:
        if level > DEEPEST_TREE:
            raise _too_deep()
        for group in siblings:
            _require_different_choices([node.value for node in group])
            count += len(group)
        if count > MOST_NODES:
            raise UserError("label.large_tree", "The tree has more than {limit} choices.", status=422, limit=MOST_NODES)
        siblings = [node.children for group in siblings for node in group if node.children]
        level += 1


def _too_deep() -> UserError:
    return UserError("label.deep_tree", "The tree is deeper than {limit} levels.", status=422, limit=DEEPEST_TREE)


def _require_links(field: AnyField, before: Sequence[AnyField]) -> None:
    """Questions may refer to questions that stand before them."""
    names = {each.name for each in before}
    if isinstance(field, RelationsField) and not any(isinstance(f, SpansField) and f.name == field.spans for f in before):
        raise AnswerError("no_spans", "“{field}” must name a question before it that marks spans.", field=field)
    if field.when is not None and field.when.field not in names:
        raise AnswerError(
            "bad_condition",
            "“{field}” depends on “{other}”, which is no question before it.",
            field=field,
            other=field.when.field,
        )


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def _require_different_choices(values: Sequence[str]) -> None:
    _require_different("label.same_choice", "The choice “{name}” stands there twice; remove one.", values)


def _require_different(code: str, template: str, names: Sequence[str]) -> None:
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(code, template, status=422, name=name)


def checked_value(schema: dict[str, Any], value: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers [{"q", "type", "value"}] about the record `data`, in the order of the fields; says which one is wrong.

    Answers to questions that were not shown (`when`) are dropped.
    """
    fields = Schema.model_validate(schema).fields
    given = _by_question(value)
    unknown = given.keys() - {field.name for field in fields}
    if unknown:
        raise UserError("label.unknown_question", "There is no question “{field}” here.", status=422, field=sorted(unknown)[0])
    answers: dict[str, Any] = {}
    for field in fields:
        if not is_asked(field, answers):
            continue
        answer = given.get(field.name)
        if answer in (None, "", [], {}) or (isinstance(answer, str) and not answer.strip()):
            if field.required:
                raise AnswerError("answer_required", "“{field}” needs an answer.", field=field)
            continue
        answers[field.name] = _checked(field, answer, data, answers)
    types = {field.name: field.type for field in fields}
    return [{"q": name, "type": types[name], "value": answer} for name, answer in answers.items()]


def is_asked(field: Question, answers: dict[str, Any]) -> bool:
    """`answers` are those of the questions before it that were shown themselves."""
    if field.when is None:
        return True
    given = answers.get(field.when.field)
    wanted = field.when.is_ if isinstance(field.when.is_, list) else [field.when.is_]
    return any(each in wanted for each in given) if isinstance(given, list) else given in wanted


def _by_question(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) and isinstance(item.get("q"), str) for item in value):
        raise UserError("label.bad_value", "The value must be a list of answers, each with “q”, “type” and “value”.", status=422)
    return {item["q"]: item.get("value") for item in value}


def _checked(field: AnyField, answer: Any, data: dict[str, Any], before: dict[str, Any]) -> Any:
    if field.type in {"choice", "tree", "text", "number", "rating"}:
        return getattr(plain, field.type)(field, answer)
    if isinstance(field, RelationsField):
        return marks.relations(field, answer, before.get(field.spans, []))
    if field.type in MARKS:
        return getattr(marks, field.type)(field, answer, data)
    if field.type in {"pairwise", "dialogue"}:
        return getattr(compared, field.type)(field, answer)
    return getattr(compared, field.type)(field, answer, data)


def labels_of(answers: Iterable[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each (question, label) stands in a value: choices, places in a tree, ratings, labels of marks, verdicts."""
    counts: Counter[tuple[str, str]] = Counter()
    for answer in answers:
        for label in _labels(answer["type"], answer["value"]):
            counts[answer["q"], label[:200]] += 1
    return counts


def _labels(kind: str, value: Any) -> list[str]:
    if kind == "choice":
        return value if isinstance(value, list) else [value]
    if kind == "tree":
        return [" / ".join(path) for path in value]
    if kind in {"rating", "pairwise"}:
        return [str(value)]
    if kind in MARKS:
        found = value["regions"] if kind == "regions" else value
        return [mark["label"] for mark in found if mark.get("label")]
    return [step["verdict"] for step in value] if kind == "trace" else []

"""What people said about one task, turned into counted patterns: the sums from which every figure of agreement follows.

A key is (field, pair, pattern). `field` is the question, or `question.dimension` for ratings of responses. `pair` is "" for
what all people said, else "<user>,<user>". `pattern` is JSON, by the kind of the question:
- categories and figures: the values, sorted; for a pair in the order of the two;
- marks, for a pair: [label or null, exact, close, first, second] (see `Matches`);
- ranks: [W] for all, [tau] for a pair; texts: [similarity] for a pair.
Counts of tasks add up, so a submit changes a handful of them and nothing is ever computed anew.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from webapp.labeling.agreement import similarity
from webapp.labeling.agreement.coefficients import kendall_w

Key = tuple[str, str, str]
Said = Mapping[int, Sequence[dict[str, Any]]]
"""User id → the answers [{"q", "type", "value"}]."""
KINDS = {
    "choice": "nominal", "tree": "nominal", "pairwise": "nominal", "trace": "nominal",
    "rating": "ordinal", "response_rating": "ordinal", "number": "interval",
    "ranking": "ranks", "text": "texts", "dialogue": "texts",
    "spans": "marks", "relations": "marks", "regions": "marks", "segments": "marks", "frames": "marks",
}  # fmt: skip
MATCHERS = {
    "spans": similarity.span_matches,
    "regions": similarity.region_matches,
    "segments": similarity.segment_matches,
    "frames": similarity.frame_matches,
}


def values_of(field: Mapping[str, Any], said: Said) -> dict[int, Any]:
    """User → what the person answered to this question. No marks are an answer, too; other questions may be left out."""
    found: dict[int, Any] = {}
    for user, answers in said.items():
        value = next((answer["value"] for answer in answers if answer["q"] == field["name"]), None)
        if field["type"] == "regions":
            found[user] = value["regions"] if value else []
        elif field["type"] == "relations":
            found[user] = _links(field, value or [], answers)
        elif KINDS[field["type"]] == "marks":
            found[user] = value or []
        elif value is not None:
            found[user] = value
    return found


def _links(field: Mapping[str, Any], value: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relations told by the places of their spans, because ids are each person's own."""
    spans: list[dict[str, Any]] = next((answer["value"] for answer in answers if answer["q"] == field["spans"]), [])
    places = {span["id"]: (span["start"], span["end"], span["label"]) for span in spans}
    return [{"label": one["label"], "ends": (places.get(one["from"]), places.get(one["to"]))} for one in value]


def patterns_of(fields: Iterable[Mapping[str, Any]], said: Said) -> Counter[Key]:
    """The contribution of one task."""
    counts: Counter[Key] = Counter()
    if len(said) < 2:
        return counts
    for field in fields:
        values = values_of(field, said)
        kind = KINDS[field["type"]]
        if kind == "marks":
            counts.update(_mark_patterns(field, values))
        elif kind in {"ranks", "texts"}:
            counts.update(_compared_patterns(field, values, kind))
        else:
            for name, unit in _units(field, values):
                counts.update(_unit_patterns(name, unit))
    return counts


def _units(field: Mapping[str, Any], values: Mapping[int, Any]) -> Iterator[tuple[str, dict[int, Any]]]:
    """The things that are judged: the task, or each response or step in it."""
    name = field["name"]
    if field["type"] == "response_rating":
        for response in sorted({response for value in values.values() for response in value}):
            for dimension in field["dimensions"]:
                given = {user: value.get(response, {}).get(dimension["name"]) for user, value in values.items()}
                yield f"{name}.{dimension['name']}", {user: rating for user, rating in given.items() if rating is not None}
    elif field["type"] == "trace":
        steps: dict[int, dict[int, str]] = {}
        for user, value in values.items():
            for step in value:
                steps.setdefault(step["index"], {})[user] = step["verdict"]
        for step_values in steps.values():
            yield name, step_values
    else:
        yield name, {user: category(value) for user, value in values.items()}


def category(value: Any) -> Any:
    """A value that can be compared and sorted: several choices become one line."""
    if isinstance(value, list):
        return "\n".join(sorted(" / ".join(one) if isinstance(one, list) else one for one in value))
    return value


def _unit_patterns(name: str, unit: dict[int, Any]) -> Iterator[Key]:
    if len(unit) < 2:
        return
    yield name, "", dumped(sorted(unit.values()))
    for first, second in combinations(sorted(unit), 2):
        yield name, f"{first},{second}", dumped([unit[first], unit[second]])


def _mark_patterns(field: Mapping[str, Any], values: Mapping[int, list[dict[str, Any]]]) -> Iterator[Key]:
    for first, second in combinations(sorted(values), 2):
        sides = (values[first], values[second])
        labels = sorted({mark["label"] for side in sides for mark in side if mark.get("label")})
        for label in [None, *labels]:
            chosen = [[mark for mark in side if label is None or mark.get("label") == label] for side in sides]
            yield field["name"], f"{first},{second}", dumped([label, *matches_of(field, *chosen)])


def matches_of(field: Mapping[str, Any], first: list[dict[str, Any]], second: list[dict[str, Any]]) -> similarity.Matches:
    if field["type"] == "relations":
        return similarity.set_matches(*([(link["label"], link["ends"]) for link in side] for side in (first, second)))
    return MATCHERS[field["type"]](first, second)


def _compared_patterns(field: Mapping[str, Any], values: Mapping[int, Any], kind: str) -> Iterator[Key]:
    if kind == "ranks" and len(values) > 1:
        concordance = kendall_w([values[user] for user in sorted(values)])
        if concordance is not None:
            yield field["name"], "", dumped([round(concordance, 3)])
    for first, second in combinations(sorted(values), 2):
        if kind == "ranks":
            alike = similarity.kendall_tau(values[first], values[second])
        else:
            alike = similarity.text_similarity(plain_text(values[first]), plain_text(values[second]))
        yield field["name"], f"{first},{second}", dumped([round(alike, 2)])


def plain_text(value: Any) -> str:
    """A text as it is, a dialogue as its turns."""
    return value if isinstance(value, str) else "\n".join(f"{turn['role']}: {turn.get('content', '')}" for turn in value)


def dumped(pattern: Sequence[Any]) -> str:
    return json.dumps(pattern, ensure_ascii=False, separators=(",", ":"))


def alike(field: Mapping[str, Any], first: Any, second: Any) -> float:
    """How alike two answers to one question are, 0 to 1; `first` and `second` as `values_of` gives them."""
    kind = field["type"]
    if KINDS[kind] == "marks":
        return matches_of(field, first, second).f1(exact=kind in {"spans", "relations"})
    if kind == "tree" or (kind == "choice" and field.get("multiple")):
        return similarity.jaccard(*([category([one]) for one in side] for side in (first, second)))
    return COMPARERS[kind](field, first, second)


def _verdicts_alike(field: Mapping[str, Any], first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    verdicts = [{(step["index"], step["verdict"]) for step in side} for side in (first, second)]
    return similarity.f1(len(verdicts[0] & verdicts[1]), len(verdicts[0]), len(verdicts[1]))


def _figures_alike(field: Mapping[str, Any], first: float, second: float) -> float:
    return _near(first, second, field.get("min"), field.get("max"))


def _texts_alike(field: Mapping[str, Any], first: Any, second: Any) -> float:
    return similarity.text_similarity(plain_text(first), plain_text(second))


def _near(first: float, second: float, low: float | None, high: float | None) -> float:
    if low is not None and high is not None and high > low:
        return max(0.0, 1 - abs(first - second) / (high - low))
    return float(first == second)


def _ratings_alike(field: Mapping[str, Any], first: dict[str, Any], second: dict[str, Any]) -> float:
    points = [
        _near(first[response][name], second[response][name], dimension["min"], dimension["max"])
        for dimension in field["dimensions"]
        for response in first.keys() & second.keys()
        if (name := dimension["name"]) in first[response] and name in second[response]
    ]
    return sum(points) / len(points) if points else 1.0


COMPARERS: dict[str, Callable[[Mapping[str, Any], Any, Any], float]] = {
    "choice": lambda field, first, second: float(first == second),
    "pairwise": lambda field, first, second: float(first == second),
    "ranking": lambda field, first, second: (similarity.kendall_tau(first, second) + 1) / 2,
    "text": _texts_alike,
    "dialogue": _texts_alike,
    "number": _figures_alike,
    "rating": _figures_alike,
    "response_rating": _ratings_alike,
    "trace": _verdicts_alike,
}


def task_agreement(fields: Iterable[Mapping[str, Any]], said: Said) -> float | None:
    """Mean likeness of all pairs of people over the questions that both answered; None for fewer than two people."""
    points = []
    for field in fields:
        values = values_of(field, said)
        points += [alike(field, values[first], values[second]) for first, second in combinations(sorted(values), 2)]
    return sum(points) / len(points) if points and len(said) > 1 else None


def score(fields: Iterable[Mapping[str, Any]], answers: Sequence[dict[str, Any]], right: Sequence[dict[str, Any]]) -> float:
    """How right an answer to a gold question is: likeness to the known one over the questions that this one answers."""
    known = {answer["q"] for answer in right}
    points = []
    for field in fields:
        if field["name"] not in known:
            continue
        values = values_of(field, {0: answers, 1: right})
        points.append(alike(field, values[0], values[1]) if len(values) == 2 else 0.0)
    return sum(points) / len(points) if points else 0.0

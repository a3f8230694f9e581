"""Which of several answers people preferred, as pairs that preference training reads."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from workers.spec.record import Message, Record


def compared_answers(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers to compare: the record's `responses`, else its chosen and rejected one without a word which is which.

    Which of the two comes first hangs on their texts alone: the same at every look, whichever of them is preferred.
    """
    if record.get("responses") or not (record.get("chosen") and record.get("rejected")):
        return list(record.get("responses") or [])
    contents = [
        "\n\n".join(turn.get("content") or "" for turn in record[part] if turn.get("role", "assistant") == "assistant")
        for part in ("chosen", "rejected")
    ]
    contents.sort(key=lambda content: (zlib.crc32(content.encode(errors="replace")), content))
    return [{"id": str(number), "content": content} for number, content in enumerate(contents, start=1)]


def preference_levels(record: Mapping[str, Any]) -> list[list[str]] | None:
    """Ids of a record's `responses`, best first; those of one inner list are equally good. None: nobody told.

    From a ranking, else a pairwise choice, else ratings (of the answers, or per dimension: their mean).
    """
    responses = record.get("responses") or []
    known = [str(response["id"]) for response in responses]
    found: dict[str, Any] = {}
    for annotation in record.get("annotations") or []:
        found.setdefault(annotation["type"], annotation["value"])
    if isinstance(found.get("ranking"), list):
        return [[item for item in level if item in known] for level in found["ranking"] if isinstance(level, list)]
    if len(known) == 2 and found.get("pairwise") in ("a", "b", "tie", "both_bad"):
        best = {"a": [[known[0]], [known[1]]], "b": [[known[1]], [known[0]]]}
        return best.get(found["pairwise"], [known])
    scores = _mean_ratings(found.get("response_rating"), known)
    scores = scores or {str(item["id"]): item["rating"] for item in responses if item.get("rating") is not None}
    if not scores:
        return None
    return [[item for item in known if scores.get(item) == score] for score in sorted(set(scores.values()), reverse=True)]


def _mean_ratings(value: Any, known: Sequence[str]) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    means = {}
    for item, ratings in value.items():
        numbers = [number for number in ratings.values() if isinstance(number, (int, float))]
        if item in known and numbers:
            means[item] = sum(numbers) / len(numbers)
    return means


def pairs_of_levels(levels: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """(better, worse) for every two answers of different levels: A > B = C > D gives five pairs, never B and C."""
    return [
        (better, worse)
        for higher, lower in combinations(range(len(levels)), 2)
        for better in levels[higher]
        for worse in levels[lower]
    ]


def preference_pairs(record: Record) -> list[Record]:
    """The record itself when it is a preference; else one preference for every pair that its ranking tells apart."""
    if record.chosen is not None and record.rejected is not None:
        return [record]
    if not record.responses or not record.messages:
        return []
    levels = preference_levels({"responses": [item.model_dump() for item in record.responses],
                                "annotations": [item.model_dump() for item in record.annotations or []]})  # fmt: skip
    contents = {response.id: response.content for response in record.responses}
    return [
        record.model_copy(
            update={
                "id": f"{record.id}:{better}>{worse}",
                "chosen": [Message(role="assistant", content=contents[better])],
                "rejected": [Message(role="assistant", content=contents[worse])],
                "responses": None,
                "annotations": None,
            }
        )
        for better, worse in pairs_of_levels(levels or [])
    ]

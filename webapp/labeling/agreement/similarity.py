"""How alike two answers to one question are, from 0 to 1, and how many marks of two people match. Pure Python."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

IOU = 0.5
"""Boxes and segments with at least this overlap mark the same thing (as in PASCAL VOC)."""
SAME_MOMENT_MS = 500
LONGEST_COMPARED = 20_000


class Matches(NamedTuple):
    """Of two people's marks: `exact` and `close` ones in both, how many each made. F1 is 2 · matches / (first + second)."""

    exact: int
    close: int
    first: int
    second: int

    def f1(self, *, exact: bool = True) -> float:
        return f1(self.exact if exact else self.close, self.first, self.second)


def f1(matched: float, first: float, second: float) -> float:
    """Two people who both marked nothing agree."""
    return 2 * matched / (first + second) if first + second else 1.0


def span_matches(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> Matches:
    """Exact: same label, start and end. Close: same label and at least one common character, each span used once."""

    def key(span: dict[str, Any]) -> tuple[int, int, str]:
        return (span["start"], span["end"], span["label"])

    def common(a: dict[str, Any], b: dict[str, Any]) -> float:
        return float(min(a["end"], b["end"]) - max(a["start"], b["start"])) if a["label"] == b["label"] else 0.0

    exact = sum((Counter(map(key, first)) & Counter(map(key, second))).values())
    return Matches(exact, matched(first, second, common, least=1.0), len(first), len(second))


def region_matches(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> Matches:
    """Both counts: same label and intersection over union of the outlines' boxes of at least IOU; points within 10 pixels."""

    def overlap(a: dict[str, Any], b: dict[str, Any]) -> float:
        if a["label"] != b["label"] or a["kind"] != b["kind"]:
            return 0.0
        if a["kind"] == "point":
            return max(0.0, 1 - math.dist((a["x"], a["y"]), (b["x"], b["y"])) / 20)
        return box_iou(outline(a), outline(b))

    pairs = matched(first, second, overlap, least=IOU)
    return Matches(pairs, pairs, len(first), len(second))


def outline(region: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a box or polygon."""
    if region["kind"] == "polygon":
        xs, ys = [point[0] for point in region["points"]], [point[1] for point in region["points"]]
        return min(xs), min(ys), max(xs), max(ys)
    return region["x"], region["y"], region["x"] + region["w"], region["y"] + region["h"]


def box_iou(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return common / (areas - common)


def segment_matches(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> Matches:
    """Exact: label and both ends. Close: same label and intersection over union in time of at least IOU."""

    def overlap(a: dict[str, Any], b: dict[str, Any]) -> float:
        if a.get("label") != b.get("label"):
            return 0.0
        common = min(a["end_ms"], b["end_ms"]) - max(a["start_ms"], b["start_ms"])
        whole = max(a["end_ms"], b["end_ms"]) - min(a["start_ms"], b["start_ms"])
        return common / whole if common > 0 else 0.0

    close = matched(first, second, overlap, least=IOU)
    keys = [Counter((s["start_ms"], s["end_ms"], s.get("label")) for s in side) for side in (first, second)]
    return Matches(sum((keys[0] & keys[1]).values()), close, len(first), len(second))


def frame_matches(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> Matches:
    """Exact: label and moment. Close: same label within half a second."""

    def near(a: dict[str, Any], b: dict[str, Any]) -> float:
        apart = abs(a["at_ms"] - b["at_ms"])
        return 1 - apart / (2 * SAME_MOMENT_MS) if a["label"] == b["label"] and apart <= SAME_MOMENT_MS else 0.0

    keys = [Counter((frame["at_ms"], frame["label"]) for frame in side) for side in (first, second)]
    close = matched(first, second, near, least=0.5)
    return Matches(sum((keys[0] & keys[1]).values()), close, len(first), len(second))


def set_matches(first: Sequence[Hashable], second: Sequence[Hashable]) -> Matches:
    same = sum((Counter(first) & Counter(second)).values())
    return Matches(same, same, len(first), len(second))


def matched(first: Sequence[Any], second: Sequence[Any], score: Callable[[Any, Any], float], *, least: float) -> int:
    """How many marks pair up, the best pairs first, each mark once."""
    pairs = [(score(a, b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)]
    used_first: set[int] = set()
    used_second: set[int] = set()
    for value, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if value < least:
            break
        if i not in used_first and j not in used_second:
            used_first.add(i)
            used_second.add(j)
    return len(used_first)


def jaccard(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    one, other = set(first), set(second)
    return len(one & other) / len(one | other) if one | other else 1.0


def kendall_tau(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> float:
    """Share of pairs of things in the same order minus those in the opposite order; a tie in one ranking counts as half
    (0 in the sum), in both as agreement. −1 to 1."""
    places = [{thing: place for place, tied in enumerate(ranking) for thing in tied} for ranking in (first, second)]
    total = pairs = 0
    for a, b in combinations(sorted(places[0].keys() & places[1].keys()), 2):
        one, other = (_sign(place[a] - place[b]) for place in places)
        pairs += 1
        total += 1 if one == other else one * other
    return total / pairs if pairs else 1.0


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def text_similarity(first: str, second: str) -> float:
    """Dice coefficient of the pairs of neighbouring characters: 1 the same, about 0 nothing in common. Any script."""
    one, other = (" ".join(text.split())[:LONGEST_COMPARED] for text in (first, second))
    if one == other:
        return 1.0
    sides = [Counter(pairwise(text)) for text in (one, other)]
    return f1(sum((sides[0] & sides[1]).values()), sides[0].total(), sides[1].total()) if any(sides) else 0.0

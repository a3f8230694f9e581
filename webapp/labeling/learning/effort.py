"""How many keys an answer costs on the label page, from nothing and from a proposal: the page's own key map in figures.

The person is ideal: filters long lists by the fewest letters, goes the shortest way. A held Ctrl or Shift is one press more.
So what proposals save is estimated low: real people press more keys where there is no proposal.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from webapp.labeling.questions.records import text_at

Answers = Sequence[Mapping[str, Any]]
DIRECT = 21
"""Up to so many choices have a key each; longer lists are filtered by typing (static/src/label/choice.js)."""
DIGITS = 9
SUBMIT = 2
"""Ctrl + Enter."""
ACCEPT = 1
"""Enter, where no text is being written."""
TURN_DOWN = 1
"""Backspace."""
WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]|[^\w\s]|_")
PART = re.compile(r"\w+|\s+|[^\w\s]")


def keys_for(
    schema: Mapping[str, Any],
    data: Mapping[str, Any],
    value: Answers,
    proposed: Answers | None = None,
    ranked: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Key presses from an untouched form, or from one with a proposal filled in, to the submitted answers.

    `ranked`: {question: likeliest choices}; a long list begins with them, so that a digit picks each of the first nine.
    """
    fields = schema["fields"]
    final, begun = _by_name(value), _by_name(proposed or [])
    work = [_edit(field, data, begun.get(field["name"]), final.get(field["name"])) for field in fields]
    for place, field in enumerate(fields):
        if work[place] > 1 and field["type"] == "choice" and not field.get("multiple"):
            offered = list((ranked or {}).get(field["name"], ()))[:DIGITS]
            work[place] = 1 if final.get(field["name"]) in offered else work[place]
    pressed = sum(work) + max(0, sum(1 for keys in work if keys) - 1)  # ] goes to the next question
    if is_quick(fields) and pressed:
        return pressed  # choosing submits
    writes = fields[0]["type"] == "text" or any(
        keys and field["type"] == "text" for keys, field in zip(work, fields, strict=True)
    )
    return pressed + (ACCEPT if proposed is not None and not writes else SUBMIT)


def is_quick(fields: Sequence[Mapping[str, Any]]) -> bool:
    """A single choice for one answer is submitted by choosing."""
    return len(fields) == 1 and fields[0]["type"] in {"choice", "pairwise"} and not fields[0].get("multiple")


def _by_name(answers: Answers) -> dict[str, Any]:
    return {answer["q"]: answer["value"] for answer in answers}


def _edit(field: Mapping[str, Any], data: Mapping[str, Any], begun: Any, final: Any) -> int:
    if field["type"] == "text":
        before = begun if begun is not None else text_at(dict(data), field["source"]) if field.get("source") else ""
        return _write(str(before), str(final or ""))
    if field["type"] == "spans":
        return _mark(text_at(dict(data), field.get("source")), begun or [], final or [])
    if begun == final or final is None:
        return 0
    if field["type"] == "choice":
        labels = tuple(str(choice.get("label") or choice["value"]) for choice in field["choices"])
        values = [choice["value"] for choice in field["choices"]]
        old, new = ([each] if isinstance(each, str) else each or [] for each in (begun, final))
        changed = set(new) - set(old) if not field.get("multiple") else set(new) ^ set(old)
        return sum(_choose(labels, values.index(one)) for one in changed if one in values)
    if field["type"] == "tree":
        return sum(2 * len(path) for path in final if path not in (begun or []))
    return 1  # a rating, a pairwise judgement, a figure of one digit


@lru_cache(maxsize=4096)
def _choose(labels: tuple[str, ...], at: int) -> int:
    """One key, or the fewest letters that bring the choice among the first nine and its digit."""
    if len(labels) <= DIRECT:
        return 1
    shown = [label.lower() for label in labels]
    least = len(shown[at]) + 1
    for word in shown[at].split():
        for length in range(min(len(word), least - 1) + 1):
            found = [place for place, label in enumerate(shown) if word[:length] in label]
            if at in found[:DIGITS]:
                least = min(least, length + 1)
                break
    return least


def _write(before: str, after: str) -> int:
    """Letters written and deleted, and Ctrl + arrow from word to word; the caret begins at the end of the text."""
    if before == after:
        return 0
    old, new = PART.findall(before), PART.findall(after)
    keys, caret = 0, len(old)
    for kind, a, b, c, d in reversed(SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()):
        if kind == "equal":
            continue
        jumps = sum(1 for part in old[b:caret] if not part.isspace())
        removed, written = "".join(old[a:b]), "".join(new[c:d])
        blocks = SequenceMatcher(a=removed, b=written, autojunk=False).get_matching_blocks()
        kept = sum(block.size for block in blocks)
        inside = len(removed) - max((block.a + block.size for block in blocks if block.size and block.a == 0), default=0)
        keys += (1 + jumps if jumps else 0) + min(len(removed) + len(written), inside + len(removed) + len(written) - 2 * kept)
        caret = a
    return keys


def _mark(text: str, begun: Sequence[Mapping[str, Any]], final: Sequence[Mapping[str, Any]]) -> int:
    """The cursor goes from word to word from the front; Shift takes more words, a digit marks, Delete takes away."""
    old, new = {_span(one) for one in begun}, {_span(one) for one in final}
    words = [match.span() for match in WORD.finditer(text)]
    places = {(start, end) for start, end, _label in new}
    wrong = [("delete", span) for span in old - new if span[:2] not in places]
    steps = sorted([*wrong, *(("mark", span) for span in new - old)], key=lambda step: step[1])
    keys = cursor = 0
    for action, (start, end, _label) in steps:
        covered = [place for place, (first, last) in enumerate(words) if first < end and last > start]
        if not covered:
            continue
        extent = len(covered) - 1
        keys += abs(covered[0] - cursor) + 1
        keys += extent + 1 if extent and action == "mark" else 0
        cursor = covered[-1] if action == "mark" else covered[0]
    return keys


def _span(span: Mapping[str, Any]) -> tuple[int, int, str]:
    return span["start"], span["end"], span["label"]

"""How a question is put to a model, and how its words become an answer in the shape of labelling.

One of several choices is taken from the first token's probabilities where the endpoint tells them, so that the score is the
model's own certainty; other answers have the mean probability of their tokens, or none.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.data.preferences import compared_answers

Message = dict[str, str]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ASKABLE = frozenset({"choice", "pairwise", "rating", "number", "text", "spans"})
"""Types of questions that a language model can answer."""
LONGEST_SHOWN = 8000


def record_words(data: Mapping[str, Any]) -> str:
    """The record as a model reads it: its text, the conversation, the responses."""
    parts = [str(data["text"])] if data.get("text") else []
    parts += [f"{turn['role']}: {turn.get('content') or ''}" for turn in data.get("messages") or []]
    for name, response in zip(LETTERS, compared_answers(data), strict=False):
        parts.append(f"Answer {name}:\n{response.get('content', '')}")
    return "\n\n".join(parts)[:LONGEST_SHOWN]


def messages_for(field: Mapping[str, Any], data: Mapping[str, Any]) -> list[Message]:
    """What is sent: a draft answer goes on with the conversation itself, everything else is a task about the record."""
    title = field.get("label") or field["name"]
    if field["type"] == "text" and data.get("messages"):
        turns = [{"role": turn["role"], "content": turn.get("content") or ""} for turn in data["messages"]]
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
        return turns
    if field["type"] == "spans":
        source = str(data.get("text") or "")[:LONGEST_SHOWN]
        known = ", ".join(label["value"] for label in field["labels"])
        told = f'{title}\nLabels: {known}\nAnswer with a JSON list only: [{{"text": "…", "label": "…"}}]. Copy each text exactly.'
        return [{"role": "user", "content": f"{source}\n\n{told}"}]
    options = options_of(field)
    if options:
        listed = "\n".join(f"{LETTERS[index]}. {shown}" for index, (_, shown) in enumerate(options))
        told = f"{title}\n{listed}\nAnswer with the letter only."
    elif field["type"] in {"rating", "number"}:
        told = f"{title}\nAnswer with a number only{_limits(field)}."
    else:
        told = f"{title}\nAnswer with the text only."
    return [{"role": "user", "content": f"{record_words(data)}\n\n{told}"}]


def learnt_messages(field: Mapping[str, Any], data: Mapping[str, Any]) -> list[Message]:
    """As a model saw the record when it was trained on the labels: the conversation before its answer, or the text alone."""
    turns = [{"role": turn["role"], "content": turn.get("content") or ""} for turn in data.get("messages") or []]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns or [{"role": "user", "content": str(data.get("text") or "")}]


def _limits(field: Mapping[str, Any]) -> str:
    low, high = field.get("min"), field.get("max")
    return f" from {low} to {high}" if low is not None and high is not None else ""


def options_of(field: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(value, as shown) of a question with up to 26 choices; empty when there is no such list."""
    if field["type"] == "pairwise":
        shown = {"a": "Answer A is better", "b": "Answer B is better", "tie": "Both are equally good", "both_bad": "Both are bad"}
        return [(value, shown[value]) for value in field["options"]]
    if field["type"] != "choice" or len(field["choices"]) > len(LETTERS):
        return []
    return [(choice["value"], choice.get("label") or choice["value"]) for choice in field["choices"]]


def constraint(field: Mapping[str, Any], *, learnt: bool = False) -> dict[str, Any]:
    """What the request adds: few tokens and their probabilities for choices and figures; `learnt`: the label is written out."""
    if learnt and field["type"] == "choice":
        return {"max_tokens": 64, "logprobs": True}
    if options_of(field):
        return {"max_tokens": 8, "logprobs": True, "top_logprobs": 20}
    return {"max_tokens": 12} if field["type"] in {"rating", "number"} else {"logprobs": True}


def read_answer(field: Mapping[str, Any], data: Mapping[str, Any], choice: Mapping[str, Any]) -> tuple[Any, float | None]:
    """(value, score) from the first choice of a completion; the value is None where the words say nothing usable."""
    words = without_thought(str((choice.get("message") or {}).get("content") or "")).strip()
    tokens = (choice.get("logprobs") or {}).get("content") or []
    if field["type"] in {"choice", "pairwise"}:
        return _chosen(field, words, tokens)
    if field["type"] in {"rating", "number"}:
        return _number(field, words), None
    if field["type"] == "spans":
        return _spans(field, str(data.get("text") or ""), words), certainty(tokens)
    return (words or None), certainty(tokens)


def without_thought(words: str) -> str:
    return re.sub(r"<think>.*?</think>", "", words, flags=re.DOTALL)


def certainty(tokens: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean probability of the tokens that were written."""
    values = [math.exp(token["logprob"]) for token in tokens if isinstance(token.get("logprob"), int | float)]
    return sum(values) / len(values) if values else None


def _chosen(field: Mapping[str, Any], words: str, tokens: Sequence[Mapping[str, Any]]) -> tuple[Any, float | None]:
    options = options_of(field)
    values = [value for value, _ in options] or [choice["value"] for choice in field["choices"]]
    said = words.strip(" .\"'").casefold()
    exact = [value for value in values if value.casefold() == said and len(said) > 1]
    shares = {} if exact else _letter_shares(tokens, len(options))
    if shares:
        best = max(shares, key=lambda index: shares[index])
        return _plural(field, values[best]), shares[best]
    letter = re.match(r"\W*([A-Za-z])(?![A-Za-z])", words)
    index = LETTERS.find(letter.group(1).upper()) if letter and not exact else -1
    if 0 <= index < len(options):
        return _plural(field, values[index]), None
    named = exact or [value for value in values if value.casefold() in said]
    return (_plural(field, max(named, key=len)), certainty(tokens)) if named else (None, None)


def _plural(field: Mapping[str, Any], value: str) -> Any:
    return [value] if field.get("multiple") else value


def _letter_shares(tokens: Sequence[Mapping[str, Any]], count: int) -> dict[int, float]:
    """Probability of each option's letter as the first token, among the options; empty where it was not told."""
    candidates = tokens[0].get("top_logprobs") or [tokens[0]] if tokens else []
    shares: dict[int, float] = {}
    for one in candidates:
        name = str(one.get("token") or "").strip(" .").upper()
        index = LETTERS.find(name) if len(name) == 1 else -1
        if 0 <= index < count and isinstance(one.get("logprob"), int | float):
            shares[index] = shares.get(index, 0.0) + math.exp(one["logprob"])
    total = sum(shares.values())
    return {index: share / total for index, share in shares.items()} if total > 0 else {}


def _number(field: Mapping[str, Any], words: str) -> int | float | None:
    found = re.search(r"-?\d+(?:\.\d+)?", words)
    if not found:
        return None
    value = float(found.group())
    low, high = field.get("min"), field.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        return None
    return int(value) if value == int(value) else (None if field["type"] == "rating" else value)


def _spans(field: Mapping[str, Any], text: str, words: str) -> list[dict[str, Any]] | None:
    """Where the named texts stand; each occurrence is used once, overlaps are left out."""
    listed = re.search(r"\[.*\]", words, flags=re.DOTALL)
    try:
        named = json.loads(listed.group()) if listed else None
    except ValueError:
        named = None
    if not isinstance(named, list):
        return None
    labels = {label["value"] for label in field["labels"]}
    found: list[dict[str, Any]] = []
    for item in named:
        covered, label = (item.get("text"), item.get("label")) if isinstance(item, dict) else (None, None)
        if not isinstance(covered, str) or not covered or label not in labels:
            continue
        for match in re.finditer(re.escape(covered), text):
            if all(match.end() <= span["start"] or match.start() >= span["end"] for span in found):
                place = {"start": match.start(), "end": match.end(), "label": label, "text": covered}
                found.append({"id": f"p{len(found)}", **place})
                break
    return sorted(found, key=lambda span: int(span["start"]))

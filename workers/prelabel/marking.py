"""The quick assistant's marker of text: each word is judged by itself and its neighbours (begin, inside or outside a span)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workers.prelabel.classes import fitted, shares_of

WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+|[\u3040-\u30ff\u3400-\u9fff]|[^\w\s]|_")
"""Words of letters, figures, single signs of Chinese and Japanese, punctuation."""
OUTSIDE = "O"
Span = dict[str, Any]


def words_of(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word in code points."""
    return [match.span() for match in WORD.finditer(text)]


class Marker:
    def __init__(self) -> None:
        self.model: Any = None
        self.features: Any = None
        self.known: set[str] = set()

    def learn(self, texts: Sequence[str], values: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        from sklearn.feature_extraction import DictVectorizer

        self.known = {f"{span['label']}={span['text'].casefold()}" for value in values for span in value}
        rows: list[dict[str, Any]] = []
        tags: list[str] = []
        for text, value in zip(texts, values, strict=True):
            places = words_of(text)
            rows += self._rows(text, places, skip=value)
            tags += _tags(places, value)
        if len(set(tags)) < 2:
            return
        self.features = DictVectorizer()
        self.model = fitted(self.features.fit_transform(rows), tags)

    def propose(self, texts: Sequence[str]) -> list[tuple[list[Span], float]]:
        """(spans, how sure of the least sure word) of each text."""
        if self.model is None:
            return [([], 0.5)] * len(texts)
        found = []
        for text in texts:
            places = words_of(text)
            if not places:
                found.append(([], 1.0))
                continue
            shares = shares_of(self.model.decision_function(self.features.transform(self._rows(text, places))))
            tags = [str(self.model.classes_[place]) for place in shares.argmax(axis=1)]
            found.append((_spans(text, places, tags), float(shares.max(axis=1).min())))
        return found

    def _rows(
        self, text: str, places: Sequence[tuple[int, int]], skip: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[dict[str, Any]]:
        """What is known of each word. A text that is learnt must not look up its own spans: every second one is hidden."""
        words = [text[start:end] for start, end in places]
        hidden = {span["text"].casefold() for number, span in enumerate(skip) if number % 2 == 0}
        held = self._held(words, text, places, hidden)
        shapes = [_shape(word) for word in words]
        for at, word in enumerate(words):
            row: dict[str, Any] = {"bias": 1, f"w={word.casefold()}": 1, f"s={shapes[at]}": 1, f"e={word[-3:].casefold()}": 1}
            row[f"b={word[:3].casefold()}"] = 1
            for by in (-2, -1, 1, 2):
                inside = 0 <= at + by < len(words)
                row[f"{by}w={words[at + by].casefold() if inside else '·'}"] = 1
                row[f"{by}s={shapes[at + by] if inside else '·'}"] = 1
            for label in held.get(at, ()):
                row[f"k={label}"] = 1
            yield row

    def _held(self, words: Sequence[str], text: str, places: Sequence[tuple[int, int]], hidden: set[str]) -> dict[int, set[str]]:
        """Word → labels that were given to just these words elsewhere, with the place inside of them."""
        found: dict[int, set[str]] = {}
        labels = {known.partition("=")[0] for known in self.known}
        for first in range(len(words)):
            for last in range(first, min(first + 5, len(words))):
                covered = text[places[first][0] : places[last][1]].casefold()
                if covered in hidden:
                    continue
                for label in labels:
                    if f"{label}={covered}" in self.known:
                        for at in range(first, last + 1):
                            found.setdefault(at, set()).add(f"{'B' if at == first else 'I'}-{label}")
        return found


def _shape(word: str) -> str:
    if word.isdigit():
        return f"0{min(len(word), 5)}"
    if not word[0].isalpha():
        return word[0]
    return ("X" if word.isupper() else "Xx" if word[0].isupper() else "x") + ("" if len(word) > 1 else "1")


def _tags(places: Sequence[tuple[int, int]], value: Sequence[Mapping[str, Any]]) -> list[str]:
    tags = []
    for start, end in places:
        span = next((one for one in value if one["start"] < end and one["end"] > start), None)
        tags.append(OUTSIDE if span is None else f"{'B' if start <= span['start'] else 'I'}-{span['label']}")
    return tags


def _spans(text: str, places: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Span]:
    spans: list[Span] = []
    former = OUTSIDE
    for (start, end), tag in zip(places, tags, strict=True):
        if tag != OUTSIDE:
            label = tag[2:]
            if tag[0] == "I" and former != OUTSIDE and former[2:] == label:
                spans[-1]["end"] = end
            else:
                spans.append({"id": f"p{len(spans)}", "start": start, "end": end, "label": label})
        former = tag
    return [{**span, "text": text[span["start"] : span["end"]]} for span in spans]

"""The quick assistant's classifier: words and pieces of words, weighed by a linear support vector machine, a second on one core.

Pieces of two to four characters make it learn Chinese, typing errors and unknown words from few examples.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_FEATURES = 60_000
WORDS = r"(?u)\w+|[^\w\s]"
SHARPNESS = 4.0
"""Turns distances from the border into shares: found on held-out intents so that shares are about as often right as they say."""


class Classifier:
    """One class of several for each text; with `plural` every class for itself, several at once."""

    def __init__(self, plural: bool = False) -> None:
        self.plural = plural
        self.classes: list[Any] = []
        self.models: dict[int, Any] = {}
        self.constant: dict[int, bool] = {}
        self.features: Any = None

    def learn(self, texts: Sequence[str], values: Sequence[Any]) -> None:
        """`values`: a class for each text; with `plural` a tuple of classes."""
        self.classes = sorted({one for value in values for one in value}) if self.plural else sorted(set(values))
        if len(set(values)) < 2:
            return
        self.features = _features()
        matrix = self.features.fit_transform(texts)
        if self.plural:
            target: Any = np.array([[int(one in value) for one in self.classes] for value in values])
            varied = [place for place in range(len(self.classes)) if 0 < target[:, place].sum() < len(target)]
            self.constant = {place: bool(target[0, place]) for place in range(len(self.classes)) if place not in varied}
            self.models = {place: fitted(matrix, target[:, place]) for place in varied}
            return
        places = {value: place for place, value in enumerate(self.classes)}
        self.models = {0: fitted(matrix, [places[value] for value in values])}

    def propose(self, texts: Sequence[str]) -> list[tuple[Any, float]]:
        """(class or tuple of classes, how sure from 0 to 1) of each text."""
        if not self.models:
            only = tuple(self.classes) if self.plural else (self.classes[0] if self.classes else None)
            return [(only, 0.5)] * len(texts)
        if not texts:
            return []
        matrix = self.features.transform(texts)
        if self.plural:
            return self._several(matrix)
        shares = shares_of(self.models[0].decision_function(matrix))
        return [(self.classes[place], float(row[place])) for place, row in zip(shares.argmax(axis=1), shares, strict=True)]

    def ranked(self, texts: Sequence[str], most: int) -> list[list[Any]]:
        """The likeliest classes of each text, the likeliest first."""
        if not self.models or self.plural or not texts:
            return [[] for _ in texts]
        distances = self.models[0].decision_function(self.features.transform(texts))
        return [[self.classes[place] for place in row] for row in np.argsort(-shares_of(distances), axis=1)[:, :most]]

    def _several(self, matrix: Any) -> list[tuple[Any, float]]:
        """Each class for itself; as sure as of the least sure one."""
        each = np.ones((matrix.shape[0], len(self.classes)))
        for place, is_there in self.constant.items():
            each[:, place] = float(is_there)
        for place, model in self.models.items():
            each[:, place] = shares_of(model.decision_function(matrix))[:, 1]
        sure = np.maximum(each, 1 - each).min(axis=1)
        chosen = [tuple(name for name, share in zip(self.classes, row, strict=True) if share >= 0.5) for row in each]
        return list(zip(chosen, map(float, sure), strict=True))


def fitted(matrix: Any, target: Any) -> Any:
    from sklearn.svm import LinearSVC

    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)  # all that it takes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many classes for few texts are the ordinary case here
        return LinearSVC(random_state=0).fit(matrix, target)


def shares_of(distances: Any) -> Any:
    """Shares that come to 1 from distances, (texts, classes), or (texts,) where there are two classes."""
    if distances.ndim == 1:
        distances = np.stack([-distances, distances], axis=1)
    raised = np.exp(SHARPNESS * (distances - distances.max(axis=1, keepdims=True)))
    return raised / raised.sum(axis=1, keepdims=True)


def _features() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=WORDS, max_features=MOST_FEATURES)
    pieces = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4), max_features=MOST_FEATURES)
    return FeatureUnion([("words", words), ("pieces", pieces)])

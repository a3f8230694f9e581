"""Chance-corrected agreement of categories and figures, from counted patterns of answers.

A pattern is what several people said about one unit, as a tuple of values; its count says how often that came. Sources:
Cohen 1960; Fleiss 1971; Krippendorff, Content Analysis (2004), chapter 11; Gwet 2008, British Journal of Mathematical and
Statistical Psychology 61. numpy is imported when something is computed: a start of the web server should not pay for it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Patterns = Mapping[tuple[Any, ...], int]
Metric = Literal["nominal", "ordinal", "interval"]
RESAMPLES = 200
LARGEST_TABLE = 4_000_000
"""Cells (patterns × categories) up to which intervals are computed."""


@dataclass(frozen=True)
class Table:
    """`counts[p, c]`: how many people gave category c in pattern p; `weights[p]`: how many units show the pattern."""

    counts: Any
    weights: Any
    categories: list[Any]

    @classmethod
    def of(cls, patterns: Patterns, categories: Sequence[Hashable] | None = None) -> "Table":
        """Units that fewer than two people answered say nothing about agreement and are left out."""
        import numpy

        kept = [(pattern, weight) for pattern, weight in patterns.items() if len(pattern) > 1 and weight > 0]
        found = {value for pattern, _ in kept for value in pattern}
        known = list(categories or sorted(found, key=lambda value: (str(type(value)), value)))
        index = {value: place for place, value in enumerate(known)}
        counts = numpy.zeros((len(kept), len(known)))
        for row, (pattern, _) in enumerate(kept):
            for value in pattern:
                counts[row, index[value]] += 1
        return cls(counts, numpy.array([weight for _, weight in kept], dtype=float), known)

    @property
    def units(self) -> int:
        return int(self.weights.sum())

    def only(self, category: Hashable) -> "Table":
        """The same units, asked only whether it was this category."""
        import numpy

        chosen = self.counts[:, self.categories.index(category)]
        return Table(numpy.stack([chosen, self.counts.sum(axis=1) - chosen], axis=1), self.weights, [True, False])


def observed_agreement(table: Table, weights: Any = None) -> Any:
    """The chance that two people who answered the same unit said the same. `weights`: (resamples, patterns), or the table's."""
    weights = table.weights if weights is None else weights
    people = table.counts.sum(axis=1)
    same = (table.counts * (table.counts - 1)).sum(axis=1) / (people * (people - 1))
    return weights @ same / weights.sum(axis=-1)


def fleiss_kappa(table: Table, weights: Any = None) -> Any:
    """Fleiss 1971; with differing numbers of people per unit the shares of the categories are over all answers."""
    weights = table.weights if weights is None else weights
    totals = weights @ table.counts
    shares = totals / totals.sum(axis=-1, keepdims=True)
    return _corrected(observed_agreement(table, weights), (shares**2).sum(axis=-1))


def gwet_ac1(table: Table, weights: Any = None) -> Any:
    """Gwet 2008: chance agreement falls where one category is rare, so skewed labels do not look like chaos."""
    weights = table.weights if weights is None else weights
    people = table.counts.sum(axis=1, keepdims=True)
    shares = (weights @ (table.counts / people)) / weights.sum(axis=-1)[..., None]
    by_chance = (shares * (1 - shares)).sum(axis=-1) / max(1, len(table.categories) - 1)
    return _corrected(observed_agreement(table, weights), by_chance)


def cohen_kappa(pairs: Mapping[tuple[Any, Any], int]) -> float | None:
    """Cohen 1960, for two people: how often the first said a and the second b."""
    total = sum(pairs.values())
    if not total:
        return None
    first: dict[Any, int] = {}
    second: dict[Any, int] = {}
    for (a, b), count in pairs.items():
        first[a] = first.get(a, 0) + count
        second[b] = second.get(b, 0) + count
    observed = sum(count for (a, b), count in pairs.items() if a == b) / total
    by_chance = sum(count * second.get(value, 0) for value, count in first.items()) / total**2
    return float(_corrected(observed, by_chance))


def krippendorff_alpha(table: Table, metric: Metric = "nominal", weights: Any = None) -> Any:
    """Krippendorff 2004: 1 − observed / expected disagreement, for any number of people and gaps in their answers."""
    weights = table.weights if weights is None else weights
    totals = weights @ table.counts
    people = table.counts.sum(axis=1)
    if metric == "nominal":
        observed = weights @ ((people**2 - (table.counts**2).sum(axis=1)) / (people - 1))
        answers = totals.sum(axis=-1)
        expected = (answers**2 - (totals**2).sum(axis=-1)) / (answers - 1)
        return _one_minus(observed, expected)
    if metric == "interval":
        return _interval_alpha(table, weights, totals, people)
    return _ordinal_alpha(table, weights, totals, people)


def _interval_alpha(table: Table, weights: Any, totals: Any, people: Any) -> Any:
    """Squared differences, by sums of values and of their squares: any number of different values."""
    import numpy

    values = numpy.array(table.categories, dtype=float)
    sums, squares = table.counts @ values, table.counts @ values**2
    observed = weights @ (2 * (people * squares - sums**2) / (people - 1))
    answers = totals.sum(axis=-1)
    expected = 2 * (answers * (totals @ values**2) - (totals @ values) ** 2) / (answers - 1)
    return _one_minus(observed, expected)


def _ordinal_alpha(table: Table, weights: Any, totals: Any, people: Any) -> Any:
    """The distance of two ranks is how many answers lie between them (both ends by half), squared."""
    import numpy

    if totals.ndim > 1:
        return numpy.array([_ordinal_alpha(table, w, t, people) for w, t in zip(weights, totals, strict=True)])
    pairs = (table.counts * (weights / (people - 1))[:, None]).T @ table.counts
    running = numpy.cumsum(totals)
    middle = running - totals / 2
    distance = (middle[:, None] - middle[None, :]) ** 2
    expected = (numpy.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return _one_minus((pairs * distance).sum(), expected)


def _one_minus(observed: Any, expected: Any) -> Any:
    """1 where nothing was expected to differ and nothing did."""
    import numpy

    with numpy.errstate(divide="ignore", invalid="ignore"):
        return numpy.where(expected > 0, 1 - observed / expected, 1.0)


def _corrected(observed: Any, by_chance: Any) -> Any:
    """(observed − chance) / (1 − chance); 1 where chance alone explains all and nothing differed."""
    import numpy

    with numpy.errstate(divide="ignore", invalid="ignore"):
        return numpy.where(by_chance < 1, (observed - by_chance) / (1 - by_chance), 1.0)


def interval(table: Table, coefficient: Callable[..., Any], *, seed: int = 0) -> tuple[float, float] | None:
    """The middle 95 % of the coefficient when units are drawn again with replacement; None for huge tables or no units."""
    import numpy

    units = table.units
    if units < 2 or table.counts.size > LARGEST_TABLE:
        return None
    generator = numpy.random.default_rng(seed)
    drawn = generator.multinomial(units, table.weights / table.weights.sum(), size=RESAMPLES).astype(float)
    low, high = numpy.percentile(coefficient(table, weights=drawn), [2.5, 97.5])
    return float(low), float(high)


def mean_interval(values: Mapping[float, int], *, seed: int = 0) -> tuple[float, tuple[float, float]] | None:
    """Mean of counted values with its bootstrap interval."""
    import numpy

    units = sum(values.values())
    if not units:
        return None
    points = numpy.array(list(values), dtype=float)
    counts = numpy.array(list(values.values()), dtype=float)
    drawn = numpy.random.default_rng(seed).multinomial(units, counts / units, size=RESAMPLES)
    low, high = numpy.percentile(drawn @ points / units, [2.5, 97.5])
    return float(points @ counts / units), (float(low), float(high))


def kendall_w(rankings: Sequence[Sequence[Sequence[Hashable]]]) -> float | None:
    """Concordance of several rankings of the same things (Kendall and Babington Smith 1939), corrected for ties.

    A ranking is a list of places, each a list of tied things.
    """
    judges = len(rankings)
    sums: dict[Hashable, float] = {}
    ties = 0.0
    for ranking in rankings:
        before = 0
        for place in ranking:
            for thing in place:
                sums[thing] = sums.get(thing, 0.0) + before + (len(place) + 1) / 2
            before += len(place)
            ties += len(place) ** 3 - len(place)
    things = len(sums)
    if judges < 2 or things < 2:
        return None
    mean = sum(sums.values()) / things
    spread = sum((total - mean) ** 2 for total in sums.values())
    largest = judges**2 * (things**3 - things) - judges * ties
    return 12 * spread / largest if largest else 1.0

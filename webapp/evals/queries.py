"""What pages and the API read: leaderboards, the matrix of models and suites, samples."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, QuerySet

from webapp.accounts.models import Workspace
from webapp.evals.comparing import Comparison, compare, shared_ranks
from webapp.evals.models import Evaluation, EvaluationState, Sample, Suite
from webapp.registry.models import Model

HEAVY = ("scores", "summary")
MANY_CHOICES = 12
SHOWN_CHOICES = 5


def latest_done(evaluations: QuerySet[Evaluation]) -> QuerySet[Evaluation]:
    """For each model and suite the newest finished evaluation."""
    newest = evaluations.filter(state=EvaluationState.DONE).order_by().values("suite", "model").annotate(newest=Max("pk"))
    return Evaluation.objects.filter(pk__in=newest.values("newest")).select_related("model", "suite")


@dataclass(frozen=True)
class Row:
    """A line of a leaderboard. `against_base`: paired comparison with the nearest ancestor on the same board."""

    rank: int
    evaluation: Evaluation
    base: Model | None
    against_base: Comparison | None

    @property
    def model(self) -> Model:
        return self.evaluation.model

    @property
    def tokens_per_second(self) -> float | None:
        summary, seconds = self.evaluation.summary, self.evaluation.seconds
        tokens = summary.get("prompt_tokens", 0) + summary.get("output_tokens", 0)
        return tokens / seconds if seconds > 0 else None


def leaderboard(suite: Suite) -> list[Row]:
    """Models of a suite from the best to the worst; ranks are shared where no paired test tells models apart."""
    found = sorted(latest_done(suite.evaluations.all()), key=lambda item: (-(item.score or 0.0), item.model.name))
    ranks = shared_ranks([bytes(item.scores) for item in found])
    by_model = {item.model_id: item for item in found}
    parents = _parents(found)
    rows = []
    for rank, item in zip(ranks, found, strict=True):
        base = _nearest(item.model_id, parents, by_model)
        against = compare(bytes(base.scores), bytes(item.scores)) if base else None
        rows.append(Row(rank, item, base.model if base else None, against))
    return sorted(rows, key=lambda row: (row.rank, -(row.evaluation.score or 0.0)))


def _parents(evaluations: Iterable[Evaluation]) -> dict[int, int]:
    """model → base for the models of a board and all that they descend from, in as many queries as the chain is long."""
    parents: dict[int, int] = {}
    level = {item.model.pk: item.model.base_id for item in evaluations}
    while level:
        parents |= {child: base for child, base in level.items() if base is not None}
        missing = {base for base in level.values() if base is not None and base not in parents and base not in level}
        level = dict(Model.objects.filter(pk__in=missing).values_list("pk", "base_id"))
    return parents


def _nearest(model_id: int, parents: dict[int, int], by_model: dict[int, Evaluation]) -> Evaluation | None:
    step = parents.get(model_id)
    while step is not None:
        if step in by_model:
            return by_model[step]
        step = parents.get(step)
    return None


@dataclass(frozen=True)
class Matrix:
    """Models × suites; `cells[model][suite]` is the newest finished evaluation."""

    suites: list[Suite]
    lines: list[tuple[Model, list[Evaluation | None]]]


def matrix(workspace: Workspace, suites: list[Suite]) -> Matrix:
    """Only models with a score; the one with the best mean first."""
    cells: dict[int, dict[int, Evaluation]] = {}
    models: dict[int, Model] = {}
    found = latest_done(Evaluation.objects.filter(workspace=workspace, suite__in=suites)).defer(*HEAVY)
    for item in found:
        cells.setdefault(item.model_id, {})[item.suite_id] = item
        models[item.model_id] = item.model

    def mean(model_id: int) -> float:
        scores = [item.score or 0.0 for item in cells[model_id].values()]
        return sum(scores) / len(scores)

    order = sorted(models, key=mean, reverse=True)
    return Matrix(suites, [(models[pk], [cells[pk].get(suite.pk) for suite in suites]) for pk in order])


def filtered_samples(evaluation: Evaluation, show: str = "", other: Evaluation | None = None) -> QuerySet[Sample]:
    """Samples by position. `show`: right, wrong; against `other`: gained, lost, differ."""
    samples = Sample.objects.filter(evaluation=evaluation)
    if show in {"right", "wrong"}:
        return samples.filter(correct=show == "right")
    if other is None or show not in {"gained", "lost", "differ"}:
        return samples
    theirs = Sample.objects.filter(evaluation=other)
    right, wrong = theirs.filter(correct=True).values("position"), theirs.filter(correct=False).values("position")
    gained, lost = samples.filter(correct=True, position__in=wrong), samples.filter(correct=False, position__in=right)
    return {"gained": gained, "lost": lost, "differ": gained | lost}[show]


@dataclass(frozen=True)
class Place:
    """A sample with its neighbours under the same filter."""

    sample: Sample
    number: int
    total: int
    previous: int | None
    following: int | None


def place_of(samples: QuerySet[Sample], position: int | None) -> Place | None:
    """The sample at `position`, or the next one after it, or the first; None when nothing passes the filter."""
    total = samples.count()
    sample = None
    if position is not None:
        sample = samples.filter(position__gte=position).order_by("position").first()
    sample = sample or samples.order_by("position").first()
    if sample is None:
        return None
    before = samples.filter(position__lt=sample.position)
    after = samples.filter(position__gt=sample.position)
    return Place(
        sample,
        before.count() + 1,
        total,
        before.order_by("-position").values_list("position", flat=True).first(),
        after.order_by("position").values_list("position", flat=True).first(),
    )


@dataclass(frozen=True)
class Choice:
    """A choice of a question with its log-likelihood, summed and per token; `share`: softmax over the counted scores."""

    text: str
    score: float
    normalised: float
    share: float
    is_right: bool
    is_picked: bool


def choices_of(sample: Sample, evaluation: Evaluation) -> list[Choice]:
    """All choices in their order; of more than MANY_CHOICES only the best and the right one, best first."""
    data = sample.data
    sums, means = data.get("scores") or [], data.get("normalised_scores") or data.get("scores") or []
    if not sums:
        return []
    counted = means if evaluation.suite.config.get("normalise", True) else sums
    top = max(counted)
    weights = [math.exp(value - top) for value in counted]
    picked = counted.index(top)
    found = [
        Choice(text, score, mean, weight / sum(weights), index == data.get("reference_index"), index == picked)
        for index, (text, score, mean, weight) in enumerate(
            zip(_wordings(data, evaluation, len(sums)), sums, means, weights, strict=True)
        )
    ]
    if len(found) <= MANY_CHOICES:
        return found
    best = sorted(found, key=lambda choice: -choice.share)
    return [choice for index, choice in enumerate(best) if index < SHOWN_CHOICES or choice.is_right]


def _wordings(data: dict[str, Any], evaluation: Evaluation, count: int) -> list[str]:
    """The choices' texts. Samples of large classifications leave them out: they are the labels in alphabetical order."""
    listed = data.get("choices") or sorted(evaluation.summary.get("by_label") or {})
    return [str(text) for text in listed] if len(listed) == count else [f"#{number}" for number in range(1, count + 1)]

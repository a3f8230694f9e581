"""The agreement report: coefficients with intervals for each question, by label and by pair of people, and the tasks on which
people differ most. Everything comes from the counted patterns, so a report costs the same for ten tasks and for a million."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Role, User
from webapp.labeling.access import access_project
from webapp.labeling.agreement import coefficients as formulas
from webapp.labeling.agreement.patterns import KINDS, Key, patterns_of
from webapp.labeling.agreement.similarity import f1
from webapp.labeling.models import AgreementCount, Annotation, LabelProject, Task
from webapp.labeling.quality.agreeing import digest

LABELS_SHOWN = 200
LOWEST_SHOWN = 20
WORDS_SHOWN = 160
MOST_PATTERNS = 200_000
ROWS = 5000
SCALES: dict[str, list[formulas.Metric]] = {
    "nominal": ["nominal"],
    "ordinal": ["ordinal", "interval"],
    "interval": ["interval"],
}
FIGURE_NAMES = {
    "observed": _("Same answer"),
    "alpha_nominal": _("Krippendorff's α"),
    "alpha_ordinal": _("Krippendorff's α, ordinal"),
    "alpha_interval": _("Krippendorff's α, interval"),
    "fleiss": _("Fleiss' κ"),
    "ac1": _("Gwet's AC1"),
    "cohen": _("Cohen's κ"),
    "f1_exact": _("F1, exact"),
    "f1_close": _("F1, overlapping"),
    "kendall_w": _("Kendall's W"),
    "kendall_tau": _("Kendall's τ"),
    "similarity": _("Likeness of texts"),
}
Counted = dict[str, dict[str, Counter[tuple[Any, ...]]]]
"""Question (or question.dimension) → pair → pattern → count."""


def agreement_report(*, user: User, project_id: int) -> dict[str, Any]:
    """{"fields": [{name, label, kind, units, figures, labels, pairs}], "lowest": [tasks]}. Reviewers and above see it."""
    project = access_project(user, project_id, role=Role.REVIEWER)
    counted = _counted(project)
    names = _names(project)
    fields = [
        _field_report(name, label, kind, counted[name], names) for name, label, kind in _measured(project) if name in counted
    ]
    lowest = Task.objects.filter(project=project, agreement__isnull=False, agreement__lt=1).order_by("agreement")
    tasks = [
        {
            "id": task.pk,
            "position": task.position + 1,
            "agreement": task.agreement,
            "disputed": task.is_disputed,
            "text": _first_words(task.data),
        }
        for task in lowest[:LOWEST_SHOWN]
    ]
    return {"fields": fields, "lowest": tasks}


def _first_words(data: Mapping[str, Any]) -> str:
    """What a record begins with, by which people know it again."""
    words = data.get("text") or next((turn["content"] for turn in data.get("messages") or [] if turn.get("content")), "")
    return words[:WORDS_SHOWN] if isinstance(words, str) else ""


def _measured(project: LabelProject) -> Iterable[tuple[str, str, str]]:
    for field in project.schema["fields"]:
        label, kind = field.get("label") or field["name"], KINDS[field["type"]]
        if field["type"] == "response_rating":
            for dimension in field["dimensions"]:
                yield f"{field['name']}.{dimension['name']}", f"{label} · {dimension.get('label') or dimension['name']}", kind
        else:
            yield field["name"], label, kind


def _counted(project: LabelProject) -> Counted:
    counted: Counted = {}
    rows = AgreementCount.objects.filter(project=project, count__gt=0).values_list("field", "pair", "pattern", "count")
    for field, pair, pattern, count in rows[:MOST_PATTERNS]:
        patterns = counted.setdefault(field, {}).setdefault(pair, Counter())
        patterns[tuple(json.loads(pattern))] += count
    return counted


def _names(project: LabelProject) -> dict[str, str]:
    people = Annotation.objects.filter(project=project, is_current=True, user__isnull=False).order_by()
    found = User.objects.filter(pk__in=people.values("user")).order_by("username")
    return {str(person.pk): str(person) for person in found}


def _field_report(
    name: str, label: str, kind: str, pairs: Mapping[str, Counter[tuple[Any, ...]]], names: Mapping[str, str]
) -> dict[str, Any]:
    report: dict[str, Any] = {"name": name, "label": label, "kind": kind, "units": 0, "figures": [], "labels": []}
    everybody = pairs.get("", Counter())
    between = {pair: patterns for pair, patterns in pairs.items() if pair}
    if kind in {"nominal", "ordinal", "interval"}:
        report.update(_category_report(everybody, kind))
    elif kind == "marks":
        report.update(_mark_report(between))
    else:
        report.update(_mean_report(everybody, between, kind))
    report["pairs"] = [_pair_report(pair, patterns, kind, names) for pair, patterns in sorted(between.items())]
    return report


def _category_report(patterns: Counter[tuple[Any, ...]], kind: str) -> dict[str, Any]:
    table = formulas.Table.of(patterns)
    if not table.units:
        return {}
    scales = SCALES[kind]
    wanted: list[tuple[str, Callable[..., Any]]] = [("observed", formulas.observed_agreement)]
    wanted += [(f"alpha_{scale}", partial(formulas.krippendorff_alpha, metric=scale)) for scale in scales]
    if kind != "interval":
        wanted += [("fleiss", formulas.fleiss_kappa), ("ac1", formulas.gwet_ac1)]
    figures = [figure(name, float(formula(table)), formulas.interval(table, formula)) for name, formula in wanted]
    labels = []
    if kind == "nominal":
        for category in table.categories[:LABELS_SHOWN]:
            only = table.only(category)
            labels.append({
                "label": str(category).replace("\n", ", "),
                "count": int((only.weights @ only.counts)[0]),
                "alpha": float(formulas.krippendorff_alpha(only)),
                "ac1": float(formulas.gwet_ac1(only)),
            })  # fmt: skip
    return {"units": table.units, "figures": figures, "labels": labels}


def figure(name: str, value: float, interval: tuple[float, float] | None) -> dict[str, Any]:
    low, high = interval or (None, None)
    return {"name": name, "value": value, "low": low, "high": high}


def _mark_report(between: Mapping[str, Counter[tuple[Any, ...]]]) -> dict[str, Any]:
    """Micro-averaged F1 over all pairs of people; by label, too."""
    by_label: dict[str | None, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for patterns in between.values():
        for (label, *numbers), count in patterns.items():
            by_label[label][tuple(numbers)] += count
    everything = by_label.pop(None, Counter())
    figures = [
        figure("f1_exact", _f1(everything, 0), _f1_interval(everything, 0)),
        figure("f1_close", _f1(everything, 1), _f1_interval(everything, 1)),
    ]
    labels = [
        {
            "label": label,
            "count": sum((numbers[2] + numbers[3]) * count for numbers, count in patterns.items()),
            "exact": _f1(patterns, 0),
            "close": _f1(patterns, 1),
        }
        for label, patterns in sorted(by_label.items(), key=lambda item: str(item[0]))[:LABELS_SHOWN]
    ]
    return {"units": everything.total(), "figures": figures, "labels": labels}


def _f1(patterns: Mapping[tuple[Any, ...], int], place: int) -> float:
    """`place`: 0 exact, 1 close; patterns are (exact, close, first, second)."""
    matched, first, second = (sum(numbers[i] * count for numbers, count in patterns.items()) for i in (place, 2, 3))
    return f1(matched, first, second)


def _f1_interval(patterns: Mapping[tuple[Any, ...], int], place: int) -> tuple[float, float] | None:
    import numpy

    units = sum(patterns.values())
    if units < 2:
        return None
    numbers = numpy.array([[row[place], row[2] + row[3]] for row in patterns], dtype=float)
    shares = numpy.array(list(patterns.values()), dtype=float) / units
    drawn = numpy.random.default_rng(0).multinomial(units, shares, size=formulas.RESAMPLES) @ numbers
    values = numpy.where(drawn[:, 1] > 0, 2 * drawn[:, 0] / numpy.maximum(drawn[:, 1], 1), 1.0)
    low, high = numpy.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _mean_report(
    everybody: Counter[tuple[Any, ...]], between: Mapping[str, Counter[tuple[Any, ...]]], kind: str
) -> dict[str, Any]:
    pooled: Counter[tuple[Any, ...]] = Counter()
    for patterns in between.values():
        pooled.update(patterns)
    wanted = [("kendall_w", everybody), ("kendall_tau", pooled)] if kind == "ranks" else [("similarity", pooled)]
    figures = []
    for name, patterns in wanted:
        found = formulas.mean_interval({value: count for (value,), count in patterns.items()})
        if found:
            figures.append(figure(name, *found))
    units = everybody.total() if kind == "ranks" else pooled.total()
    return {"units": units, "figures": figures}


def _pair_report(pair: str, patterns: Counter[tuple[Any, ...]], kind: str, names: Mapping[str, str]) -> dict[str, Any]:
    first, _, second = pair.partition(",")
    people = {"first": names.get(first, "?"), "second": names.get(second, "?")}
    if kind == "marks":
        whole = Counter({tuple(numbers): count for (label, *numbers), count in patterns.items() if label is None})
        return {**people, "units": whole.total(), "name": "f1_exact", "value": _f1(whole, 0)}
    if kind in {"ranks", "texts"}:
        total = patterns.total()
        mean = sum(value * count for (value,), count in patterns.items()) / total
        return {**people, "units": total, "name": "kendall_tau" if kind == "ranks" else "similarity", "value": mean}
    if kind == "interval":
        alpha = float(formulas.krippendorff_alpha(formulas.Table.of(patterns), "interval"))
        return {**people, "units": patterns.total(), "name": "alpha_interval", "value": alpha}
    kappa = formulas.cohen_kappa({(a, b): count for (a, b), count in patterns.items()})
    return {**people, "units": patterns.total(), "name": "cohen", "value": kappa}


def recount(*, user: User, project_id: int) -> int:
    """Count all patterns anew from what people said, for a project whose annotations came by another way. Returns tasks."""
    project = access_project(user, project_id, role=Role.MANAGER)
    totals: Counter[Key] = Counter()
    tasks = 0
    for said in _said_by_task(project):
        totals.update(patterns_of(project.schema["fields"], said))
        tasks += 1
    rows = [
        AgreementCount(project=project, field=field, pair=pair, digest=digest(pattern), pattern=pattern, count=count)
        for (field, pair, pattern), count in totals.items()
    ]
    with transaction.atomic():
        AgreementCount.objects.filter(project=project).delete()
        AgreementCount.objects.bulk_create(rows, batch_size=ROWS)
    return tasks


def _said_by_task(project: LabelProject) -> Iterable[dict[int, Any]]:
    given = Annotation.objects.filter(project=project, is_current=True, skipped=False, is_gold=False, user__isnull=False)
    rows = given.filter(fixed_by__isnull=True).order_by("task_id", "pk").values_list("task_id", "user_id", "value")
    current: int | None = None
    said: dict[int, Any] = {}
    for task, person, value in rows.iterator(chunk_size=ROWS):
        if task != current and said:
            yield said
            said = {}
        current = task
        said[person] = value
    if said:
        yield said

"""Agreement: published worked examples with their known values, likeness of marks, counts that follow every submit (S6.11)."""

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from tests.webapp.labeling.making import LABELS, choose, make_project, member, texts
from webapp.accounts.models import User, Workspace
from webapp.labeling.agreement import coefficients as formulas
from webapp.labeling.agreement import similarity
from webapp.labeling.agreement.coefficients import Table
from webapp.labeling.agreement.patterns import patterns_of, score, task_agreement
from webapp.labeling.models import AgreementCount, Task
from webapp.labeling.quality import reporting
from webapp.labeling.work import submitting

OBSERVERS: list[list[int | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
"""Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers, twelve units, gaps."""
DIAGNOSES = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""The worked example of Fleiss' kappa: 14 raters, 10 subjects, 5 categories; kappa 0.210."""


def observed(units: Any) -> Table:
    return Table.of(Counter(tuple(sorted(value for value in unit if value is not None)) for unit in units))


@pytest.mark.parametrize(("metric", "known"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_alpha_of_the_published_example(metric: Any, known: float) -> None:
    table = observed(zip(*OBSERVERS, strict=True))
    assert float(formulas.krippendorff_alpha(table, metric)) == pytest.approx(known, abs=5e-4)
    interval = formulas.interval(table, lambda table, weights: formulas.krippendorff_alpha(table, metric, weights))
    assert interval is not None
    assert interval[0] < known < interval[1] <= 1


def test_fleiss_kappa_of_the_published_example() -> None:
    units = [[category for category, times in enumerate(row) for _ in range(times)] for row in DIAGNOSES]
    assert float(formulas.fleiss_kappa(observed(units))) == pytest.approx(0.210, abs=5e-4)


def test_cohen_kappa_of_the_textbook_example() -> None:
    """50 grant applications, two readers: 20 both yes, 15 both no; kappa 0.4."""
    readers = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert formulas.cohen_kappa(readers) == pytest.approx(0.4)
    assert formulas.cohen_kappa({}) is None


def test_gwet_ac1_where_kappa_fails() -> None:
    """Gwet 2008, the paradox of a skewed trait: 118 + 0 agreements of 125; kappa −0.023, AC1 0.941."""
    skewed = {("+", "+"): 118, ("+", "-"): 5, ("-", "+"): 2, ("-", "-"): 0}
    assert float(formulas.gwet_ac1(Table.of(skewed))) == pytest.approx(0.9408, abs=5e-4)
    assert formulas.cohen_kappa(skewed) == pytest.approx(-0.0234, abs=5e-4)


def test_kendall_w_of_identical_opposite_and_tied_rankings() -> None:
    same = [[["A"], ["B"], ["C"]]] * 3
    assert formulas.kendall_w(same) == pytest.approx(1)
    assert formulas.kendall_w([[["A"], ["B"], ["C"]], [["C"], ["B"], ["A"]]]) == pytest.approx(0)
    # Siegel 1956: three judges, six applicants, W = 0.162.
    ranks = [[1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]]
    judges = [[[name] for _, name in sorted(zip(row, "abcdef", strict=True))] for row in ranks]
    assert formulas.kendall_w(judges) == pytest.approx(0.162, abs=5e-4)
    assert formulas.kendall_w([[["A", "B", "C"]]] * 2) == 1.0
    assert formulas.kendall_w([[["A"], ["B"]]]) is None


def span(start: int, end: int, label: str = "x") -> dict[str, Any]:
    return {"id": f"{start}-{end}", "start": start, "end": end, "label": label}


def box(x: float, label: str = "x") -> dict[str, Any]:
    return {"id": str(x), "kind": "box", "x": x, "y": 0, "w": 10, "h": 10, "label": label}


def test_marks_match_exactly_and_closely() -> None:
    found = similarity.span_matches([span(0, 3), span(5, 9), span(12, 14)], [span(0, 3), span(6, 9), span(12, 14, "y")])
    assert (found.exact, found.close, found.f1()) == (1, 2, pytest.approx(1 / 3))
    assert similarity.span_matches([], []).f1() == 1.0
    pictures = similarity.region_matches([box(0), box(50)], [box(3), box(57)])
    assert (pictures.exact, pictures.f1()) == (1, 0.5), "7 of 13 columns are shared, then 3 of 17"
    sounds = similarity.segment_matches(
        [{"start_ms": 0, "end_ms": 1000, "label": "a"}], [{"start_ms": 400, "end_ms": 1000, "label": "a"}]
    )
    assert (sounds.exact, sounds.close) == (0, 1)


def test_texts_and_rankings_are_compared() -> None:
    assert similarity.text_similarity("同一句话", "同一句话 ") == 1.0
    assert 0.5 < similarity.text_similarity("the cat sat", "the cat sits") < 1
    assert similarity.text_similarity("abc", "xyz") == 0.0
    assert similarity.kendall_tau([["A"], ["B"], ["C"]], [["C"], ["B"], ["A"]]) == -1
    assert similarity.kendall_tau([["A"], ["B", "C"]], [["A"], ["B"], ["C"]]) == pytest.approx(2 / 3)


FIELDS: list[dict[str, Any]] = [
    {"name": "kind", "type": "choice", "choices": []},
    {"name": "names", "type": "spans", "labels": []},
    {"name": "links", "type": "relations", "spans": "names", "labels": []},
    {"name": "order", "type": "ranking"},
    {"name": "points", "type": "response_rating", "dimensions": [{"name": "true", "min": 1, "max": 5}]},
    {"name": "steps", "type": "trace"},
    {"name": "why", "type": "text"},
    {"name": "tags", "type": "choice", "multiple": True, "choices": []},
]


def said(kind: str, end: int, **more: Any) -> list[dict[str, Any]]:
    names = [{**span(0, end), "id": more.get("id", "s")}, {**span(9, 12), "id": "t"}]
    values = {
        "kind": kind, "names": names, "links": [{"from": names[0]["id"], "to": "t", "label": "knows"}],
        "order": [["A"], ["B"]], "points": {"A": {"true": 3}}, "steps": [{"index": 1, "verdict": "right"}],
        "why": "because", "tags": ["p", "q"],
    }  # fmt: skip
    types = {field["name"]: field["type"] for field in FIELDS}
    return [{"q": name, "type": types[name], "value": value} for name, value in values.items()]


def test_every_kind_of_question_leaves_patterns() -> None:
    counts = patterns_of(FIELDS, {7: said("card", 3), 9: said("cash", 3, id="other")})
    assert counts["kind", "", '["card","cash"]'] == 1
    assert counts["kind", "7,9", '["card","cash"]'] == 1
    assert counts["names", "7,9", "[null,2,2,2,2]"] == 1
    assert counts["links", "7,9", '["knows",1,1,1,1]'] == 1, "ids are each person's own"
    assert counts["order", "", "[1.0]"] == 1
    assert counts["points.true", "", "[3,3]"] == 1
    assert counts["steps", "7,9", '["right","right"]'] == 1
    assert counts["why", "7,9", "[1.0]"] == 1
    assert counts["tags", "", '["p\\nq","p\\nq"]'] == 1
    assert patterns_of(FIELDS, {7: said("card", 3)}) == Counter()


def test_agreement_of_a_task_and_score_against_a_known_answer() -> None:
    same = task_agreement(FIELDS, {1: said("card", 3), 2: said("card", 3)})
    other = task_agreement(FIELDS, {1: said("card", 3), 2: said("cash", 4)})
    assert same == 1.0
    assert other is not None
    assert other < 0.9
    assert task_agreement(FIELDS, {1: said("card", 3)}) is None
    right = [{"q": "kind", "type": "choice", "value": "card"}]
    assert (score(FIELDS, said("card", 3), right), score(FIELDS, said("cash", 3), right), score(FIELDS, [], right)) == (1, 0, 0)


def stored_counts() -> dict[tuple[str, str, str], int]:
    rows = AgreementCount.objects.filter(count__gt=0).values_list("field", "pair", "pattern", "count")
    return {(field, pair, pattern): count for field, pair, pattern, count in rows}


def test_counts_follow_every_submit(alice: User, bob: User, workspace: Workspace) -> None:
    """P11: what is kept up to date is what counting anew gives, after corrections and skips too."""
    project = make_project(alice, workspace, texts(12), overlap=3)
    people = [alice, bob, member(workspace, "carol")]
    keys = itertools.count()
    chance = random.Random(1)
    tasks = list(Task.objects.filter(project=project))
    for user, task in itertools.product(people, tasks):
        value = choose(LABELS[task.position % 3] if chance.random() < 0.8 else chance.choice(LABELS))
        submitting.submit(user=user, task_id=task.pk, value=value, key=f"k{next(keys)}")
    submitting.submit(user=bob, task_id=tasks[0].pk, value=choose("cash"), key="again")
    submitting.skip(user=bob, task_id=tasks[1].pk, key="skip")
    kept = stored_counts()
    report = reporting.agreement_report(user=alice, project_id=project.pk)
    assert reporting.recount(user=alice, project_id=project.pk) == 12
    assert stored_counts() == kept
    (field,) = report["fields"]
    figures = {figure["name"]: figure for figure in field["figures"]}
    assert field["units"] == 12
    assert {"observed", "alpha_nominal", "fleiss", "ac1"} == set(figures)
    assert figures["alpha_nominal"]["low"] <= figures["alpha_nominal"]["value"] <= figures["alpha_nominal"]["high"]
    assert {row["label"] for row in field["labels"]} == set(LABELS)
    assert {(row["first"], row["second"]) for row in field["pairs"]} == {("alice", "bob"), ("alice", "carol"), ("bob", "carol")}
    assert [task["agreement"] for task in report["lowest"]] == sorted(task["agreement"] for task in report["lowest"])
    assert all(task["text"] for task in report["lowest"])


def test_marks_are_reported_as_f1(alice: User, bob: User, workspace: Workspace) -> None:
    schema = {"fields": [{"name": "names", "type": "spans", "labels": ["x", "y"]}]}
    project = make_project(alice, workspace, texts(2), schema=schema, overlap=2)
    for task in Task.objects.filter(project=project):
        for user, end in ((alice, 4), (bob, 4 + task.position)):
            value = [{"q": "names", "type": "spans", "value": [span(0, end), span(5, 9, "y")]}]
            submitting.submit(user=user, task_id=task.pk, value=value, key=f"{user.pk}-{task.pk}")
    (field,) = reporting.agreement_report(user=alice, project_id=project.pk)["fields"]
    figures = {figure["name"]: figure["value"] for figure in field["figures"]}
    assert figures == {"f1_exact": 0.75, "f1_close": 1.0}
    assert [(row["label"], row["exact"]) for row in field["labels"]] == [("x", 0.5), ("y", 1.0)]

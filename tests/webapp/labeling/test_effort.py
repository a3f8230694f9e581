"""Keys that answers cost on the label page, and what proposals saved (S6.10)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.labeling.making import choose, make_project, texts
from webapp.accounts.models import User, Workspace
from webapp.labeling import dashboard
from webapp.labeling.learning.effort import keys_for
from webapp.labeling.models import PredictionSource, Task
from webapp.labeling.predicting import Proposed, store_predictions
from webapp.labeling.work.submitting import submit

FEW = {"fields": [{"name": "q", "type": "choice", "choices": [{"value": "a"}, {"value": "b"}]}]}
LABELS = [f"{word} {letter * 2}" for word in ("card", "cash") for letter in "abcdefghijklmnopqrst"]
MANY = {"fields": [{"name": "q", "type": "choice", "choices": [{"value": label} for label in LABELS]}]}
SEVERAL = {"fields": [{"name": "q", "type": "choice", "multiple": True, "choices": [{"value": "a"}, {"value": "b"}]}]}
TEXT = {"fields": [{"name": "q", "type": "text", "source": "text"}]}
SPANS = {"fields": [{"name": "q", "type": "spans", "labels": [{"value": "x"}]}]}
SENTENCE = {"text": "one two three four"}


def said(value: Any, kind: str = "choice") -> list[dict[str, Any]]:
    return [{"q": "q", "type": kind, "value": value}]


def mark(start: int, end: int, label: str = "x") -> dict[str, Any]:
    return {"id": "p", "start": start, "end": end, "label": label, "text": SENTENCE["text"][start:end]}


@pytest.mark.parametrize(
    ("schema", "kind", "value", "proposed", "keys"),
    [
        (FEW, "choice", "b", None, 1),
        (FEW, "choice", "b", "b", 1),
        (FEW, "choice", "b", "a", 1),
        (MANY, "choice", "card aa", None, 1),  # its digit, on the screen from the beginning
        (MANY, "choice", "cash dd", None, 3),  # two letters and a digit
        (MANY, "choice", "cash dd", "cash dd", 1),
        (MANY, "choice", "cash dd", "card bb", 3),
        (SEVERAL, "choice", ["a", "b"], None, 4),  # two digits, Ctrl + Enter
        (SEVERAL, "choice", ["a", "b"], ["a"], 2),  # one digit, Enter
        (SEVERAL, "choice", ["a"], ["a", "b"], 2),
        (TEXT, "text", "one two three four", None, 2),  # nothing to correct: Ctrl + Enter
        (TEXT, "text", "one two three fours", None, 3),
        (TEXT, "text", "one two three fours", "one two three fours", 2),
        (SPANS, "spans", [], None, 2),
        (SPANS, "spans", [mark(4, 7)], None, 4),  # arrow, digit, Ctrl + Enter
        (SPANS, "spans", [mark(4, 13)], None, 6),  # and Shift + arrow
        (SPANS, "spans", [mark(4, 7)], [mark(4, 7)], 1),
        (SPANS, "spans", [mark(4, 7)], [mark(4, 7), mark(8, 13)], 4),  # two arrows, Delete, Enter
    ],
)
def test_keys_follow_the_key_map_of_the_page(schema: Any, kind: str, value: Any, proposed: Any, keys: int) -> None:
    begun = None if proposed is None else said(proposed, kind)
    assert keys_for(schema, SENTENCE, said(value, kind), begun) == keys


def test_likeliest_choices_of_a_long_list_cost_a_digit() -> None:
    assert keys_for(MANY, SENTENCE, said("cash dd"), said("card bb"), {"q": ["card bb", "cash dd"]}) == 1
    assert keys_for(MANY, SENTENCE, said("cash ee"), said("card bb"), {"q": ["card bb", "cash dd"]}) == 2


def test_dashboard_shows_what_proposals_saved(alice: User, alice_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(3), {"fields": [{"name": "label", "type": "choice", "choices": LABELS}]})
    tasks = list(Task.objects.order_by("position"))
    store_predictions(project, "m", [Proposed(value=choose("cash dd"), task=task.pk, score=0.5) for task in tasks])
    for task, value in zip(tasks, ("cash dd", "cash ee", "cash dd"), strict=True):
        given = task.predictions.get().pk if task is not tasks[2] else None
        submit(user=alice, task_id=task.pk, value=choose(value), key=f"k{task.pk}", prediction=given)
    source = PredictionSource.objects.get()
    assert (source.accepted, source.edited, source.rejected) == (1, 1, 1)
    assert (source.keys_without, source.keys_with) == (3 + 2 + 3, 1 + 2 + 4)
    assert dashboard.saving(project) == {"saved": 1, "without": 8, "share": pytest.approx(1 / 8)}
    page = alice_client.get(reverse("label_dashboard", args=[workspace.slug, project.pk])).content.decode()
    assert "Proposals saved about 1 of 8 key presses" in page

"""Sweeps: combinations of settings as runs of their own, the best one marked, all cancelled at once."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, MetricPoint, State
from webapp.registry.models import Model, Sweep
from webapp.registry.training import sweeps

pytestmark = pytest.mark.django_db
HERE = "/w/academy/training"


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.fixture
def posted(tiny: Model, conversations: DatasetVersion) -> dict[str, str]:
    return {
        "datasets": str(conversations.pk), "base_model": str(tiny.pk), "name": "Try", "method": "lora", "advanced": "1",
        "axis_0": "optimisation.learning_rate", "values_0": "1e-4, 3e-4", "axis_1": "lora.rank", "values_1": "4,8",
    }  # fmt: skip


def test_a_grid_of_values_becomes_runs(alice_client: Client, posted: dict[str, str]) -> None:
    answer = alice_client.post(f"{HERE}/new/sft/sweep/", posted)
    sweep = Sweep.objects.get()
    assert answer["Location"].endswith(f"/sweeps/{sweep.pk}/")
    tried = {(job.spec["optimisation"]["learning_rate"], job.spec["lora"]["rank"]) for job in Job.objects.all()}
    assert tried == {(1e-4, 4), (1e-4, 8), (3e-4, 4), (3e-4, 8)}
    assert len(set(Job.objects.values_list("name", flat=True))) == 4
    assert "Try · Learning rate 0.0001, Adapter rank 4" in Job.objects.values_list("name", flat=True)
    assert all(job.spec["method"] == "lora" for job in Job.objects.all())
    shown = text(alice_client.get(answer["Location"]))
    assert "Adapter rank" in shown
    listed = text(alice_client.get(f"{HERE}/sweeps/"))
    assert "Try" in listed
    assert "Adapter rank</span> 4, 8" in listed


def test_the_best_run_is_marked_and_drawn(alice_client: Client, posted: dict[str, str]) -> None:
    alice_client.post(f"{HERE}/new/sft/sweep/", posted)
    sweep, jobs = Sweep.objects.get(), list(Job.objects.order_by("pk"))
    for number, job in enumerate(jobs):
        value = [2.0, 0.5, 1.0, 3.0][number]
        MetricPoint.objects.create(job=job, name="held_out_loss", step=5, value=value, at=timezone.now())
    Job.objects.update(state=State.DONE)
    found = sweeps.table(sweep)
    assert [row.job.pk for row in found.rows if row.best] == [jobs[1].pk]
    assert found.rows[0].best
    figure = alice_client.get(f"{HERE}/sweeps/{sweep.pk}/figure/").json()
    assert len(figure["data"]) == 4
    assert figure["layout"]["xaxis"]["ticktext"][-1] == "held-out loss"
    axes: dict[int, set[str]] = {}
    for note in figure["layout"]["annotations"]:
        axes.setdefault(note["x"], set()).add(note["text"])
    assert any({"0.0001", "0.0003"} <= texts for texts in axes.values())
    assert any({"4", "8"} <= texts for texts in axes.values())
    assert {"0.5", "3"} <= axes[2]
    assert "best" in text(alice_client.get(f"{HERE}/sweeps/{sweep.pk}/", headers={"HX-Request": "true"}))


def test_all_runs_are_cancelled_at_once(alice_client: Client, charlie_client: Client, posted: dict[str, str]) -> None:
    alice_client.post(f"{HERE}/new/sft/sweep/", posted)
    sweep = Sweep.objects.get()
    for address in (f"{HERE}/sweeps/{sweep.pk}/", f"{HERE}/sweeps/{sweep.pk}/figure/", f"{HERE}/sweeps/"):
        assert charlie_client.get(address).status_code == 404
    assert charlie_client.post(f"{HERE}/sweeps/{sweep.pk}/cancel/").status_code == 404
    assert alice_client.post(f"{HERE}/sweeps/{sweep.pk}/cancel/").status_code == 302
    assert set(Job.objects.values_list("state", flat=True)) == {State.CANCELLED}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"values_0": "", "values_1": ""}, "Choose a setting"),
        ({"values_0": "1e-4..x"}, "is no number"),
        ({"values_0": ",".join(str(n) for n in range(1, 40))}, "at most 32"),
        ({"values_0": "5"}, "it must be 1 or less"),
    ],
)
def test_bad_sweeps_start_nothing_and_say_why(
    alice_client: Client, posted: dict[str, str], changes: dict[str, str], complaint: str
) -> None:
    answer = alice_client.post(f"{HERE}/new/sft/sweep/", {**posted, **changes})
    assert answer.status_code == 422
    assert complaint in text(answer)
    assert not Job.objects.exists()
    assert not Sweep.objects.exists()


def test_ranges_are_drawn_on_the_right_scale() -> None:
    axes = {"optimisation.learning_rate": sweeps.read_values("1e-5..1e-3"), "lora.rank": sweeps.read_values("4 … 64")}
    drawn = sweeps.drawn(axes, 12, seed=1)
    assert len(drawn) == 12
    assert all(1e-5 <= choice["optimisation.learning_rate"] <= 1e-3 for choice in drawn)
    assert all(isinstance(choice["lora.rank"], int) for choice in drawn)
    assert drawn == sweeps.drawn(axes, 12, seed=1), "the same seed draws the same"
    steps = [
        choice["optimisation.learning_rate"]
        for choice in sweeps.grid({"optimisation.learning_rate": axes["optimisation.learning_rate"]})
    ]
    assert steps == [1e-5, 4.64e-5, 2.15e-4, 1e-3]


def test_annotators_start_no_sweep(bob: User, bob_client: Client, workspace: Workspace, posted: dict[str, str]) -> None:
    assert bob_client.post(f"{HERE}/new/sft/sweep/", posted).status_code in {403, 404}
    with pytest.raises(UserError):
        sweeps.start_sweep(user=bob, slug="academy", kind="sft", values={}, axes={"seed": "1,2"})
    assert not Job.objects.exists()

"""What the curves of a run say to somebody who has never read one: learnt by heart, too bold, too timid, stopped early."""

from collections.abc import Sequence

import pytest
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, JobEvent, MetricPoint, State
from webapp.registry.models import Model
from webapp.registry.training import services
from webapp.registry.training.reading import read_curves

pytestmark = pytest.mark.django_db
FALLING = [3.0 * 0.9**step for step in range(40)]


@pytest.fixture
def run(alice: User, tiny: Model, conversations: DatasetVersion) -> Job:
    values = {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk], "epochs": 2}
    job = services.start_from_form(user=alice, slug="academy", kind="sft", values=values)
    Job.objects.filter(pk=job.pk).update(state=State.DONE)
    job.refresh_from_db()
    return job


def draw(job: Job, loss: Sequence[float], held: Sequence[float]) -> None:
    now = timezone.now()
    points = [("loss", step, value) for step, value in enumerate(loss)]
    points += [("held_out_loss", number * len(loss) // max(1, len(held) - 1), value) for number, value in enumerate(held)]
    points += [("learning_rate", step, 3e-4) for step in range(1, len(loss))]
    MetricPoint.objects.bulk_create(
        MetricPoint(job=job, name=name, step=step, value=value, at=now) for name, step, value in points
    )


@pytest.mark.parametrize(
    ("loss", "held", "expected"),
    [
        (FALLING, [3.0, 1.1, 1.01, 1.0, 0.99], "well"),
        (FALLING, [3.0, 1.0, 0.9, 1.1, 1.4], "by_heart"),
        (FALLING, [3.0, 2.5, 2.0, 1.5, 1.0], "unfinished"),
        (FALLING, [3.0, 0.5, 0.06, 0.056, 0.052], "well"),
        (FALLING, [3.0, 0.0005, 0.0004, 0.00034, 0.00032], "too_alike"),
        ([*FALLING[:20], *(4.0 for _ in range(20))], [3.0, 1.0, 1.0, 4.0, 4.0], "rising"),
        ([3.0, *(5.0 for _ in range(30))], [3.0, 5.0, 5.0, 5.0], "rising"),
        ([2.0 - step * 1e-4 for step in range(40)], [2.0, 2.0, 2.0, 2.0], "stuck"),
        (FALLING, [], "unwatched"),
    ],
)
def test_the_shape_of_the_curves_is_told_in_a_sentence(run: Job, loss: list[float], held: list[float], expected: str) -> None:
    draw(run, loss, held)
    assert [hint.code for hint in read_curves(run)] == [expected]


def test_a_run_that_has_hardly_begun_is_not_judged(run: Job) -> None:
    Job.objects.filter(pk=run.pk).update(state=State.RUNNING)
    run.refresh_from_db()
    draw(run, [3.0, 4.0, 5.0], [3.0, 5.0])
    assert read_curves(run) == []


def test_an_early_stop_and_an_infinite_loss_are_told(run: Job) -> None:
    run.spec["saving"] |= {"early_stop": 2, "keep_best": True}
    run.result = {"steps": 30, "resolved": {"total_steps": 90}}
    draw(run, FALLING, [3.0, 1.0, 0.9, 1.1, 1.4])
    hints = {hint.code: hint for hint in read_curves(run)}
    assert "step 30 of 90" in hints["stopped_early"].text
    assert (hints["by_heart"].tone, hints["by_heart"].settings) == ("info", {})
    run.error_code, run.state = "train.loss_not_finite", State.FAILED
    assert {hint.code: hint.settings for hint in read_curves(run)}["exploded"] == {"optimisation.learning_rate": "3e-05"}


def test_a_loss_that_is_infinite_at_once_gets_advice_from_the_rate_that_was_tried(run: Job) -> None:
    draw(run, [3.0], [4.0])
    run.error_code, run.error_params, run.state = "train.loss_not_finite", {"rate": "0.5"}, State.FAILED
    assert [(hint.code, hint.settings) for hint in read_curves(run)] == [("exploded", {"optimisation.learning_rate": "0.05"})]


def test_a_run_that_ended_before_its_first_look_is_not_said_to_lack_examples(run: Job) -> None:
    draw(run, [3.0], [])
    run.state, run.error_code = State.FAILED, "job.out_of_memory"
    assert read_curves(run) == []


def test_the_page_leads_to_a_form_with_the_advice_filled_in(run: Job, alice_client: Client, charlie_client: Client) -> None:
    draw(run, FALLING, [3.0, 1.0, 0.9, 1.1, 1.4])
    address = f"/w/academy/training/runs/{run.pk}/reading/"
    shown = alice_client.get(address).content.decode()
    assert "learn its examples by heart" in shown
    link = f"/w/academy/training/new/sft/?from={run.pk}&saving.keep_best=on&saving.early_stop=3"
    assert link.replace("&", "&amp;") in shown
    form = alice_client.get(link).content.decode()
    assert 'name="saving.early_stop" value="3"' in form
    assert 'name="saving.keep_best" value="on" checked' in form
    assert 'name="epochs" value="2.0"' in form
    assert charlie_client.get(address).status_code == 404
    [hint] = alice_client.get(f"/api/v1/training/runs/{run.pk}/reading").json()
    assert (hint["code"], hint["tone"]) == ("by_heart", "warning")
    assert charlie_client.get(f"/api/v1/training/runs/{run.pk}/reading").status_code == 404


def test_the_best_look_is_marked_on_the_curve(run: Job, alice_client: Client) -> None:
    draw(run, FALLING, [3.0, 1.0, 0.9, 1.1, 1.4])
    figure = alice_client.get(f"/w/academy/training/runs/{run.pk}/figures/loss/").json()
    star = figure["data"][-1]
    assert (star["name"], star["y"]) == ("lowest: 0.9", [0.9])


def test_the_hardest_examples_are_shaded_by_their_loss(run: Job, alice_client: Client, charlie_client: Client) -> None:
    rows = [
        {"loss": 1.6, "spans": [{"text": "user <b>", "loss": None}, {"text": "It ", "loss": 0.01}, {"text": "is", "loss": 3.2}]}
    ]
    JobEvent.objects.create(job=run, seq=1, type="sample", data={"name": "hardest", "data": {"rows": rows}}, at=timezone.now())
    address = f"/w/academy/training/runs/{run.pk}/hardest/"
    shown = alice_client.get(address).content.decode()
    assert "user &lt;b&gt;" in shown
    assert 'class="shade-0" title="loss 0.01' in shown
    assert 'class="shade-4" title="loss 3.20 · 4 %">is<' in shown
    assert charlie_client.get(address).status_code == 404
    assert alice_client.get(f"/api/v1/training/runs/{run.pk}/hardest").json()[0]["pieces"][2] == {"text": "is", "loss": 3.2}
    assert charlie_client.get(f"/api/v1/training/runs/{run.pk}/hardest").status_code == 404

"""Label → train → re-score → re-order by one click: the steps, crashes, cancelling, plans, and the real programs (S6.9)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.datasets.uploading import post
from tests.webapp.labeling.making import ANSWER, choose, conversations, make_project, texts
from webapp.accounts.models import User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs import leases, paths, running
from webapp.jobs.models import Job, State
from webapp.labeling.learning import advancing, quick, rounds, showing
from webapp.labeling.learning.advancing import advance_rounds
from webapp.labeling.models import LabelProject, LearningPlan, LearningRound, Prediction, PredictionSource, RoundState, Task
from webapp.labeling.work.queue import next_task
from webapp.labeling.work.submitting import submit
from webapp.registry.models import Model, ModelState
from webapp.serving.models import Deployment, Health, Wanted
from workers.spec.record import Record


def parcels(count: int) -> list[Record]:
    kinds = ["my card is lost number", "please transfer money to account", "cash came out of machine"]
    return [Record(id=f"p{number}", text=f"{kinds[number % 3]} {number}") for number in range(count)]


def label(project: LabelProject, user: User, count: int, first: int = 0) -> None:
    names = ["card", "transfer", "cash"]
    for task in Task.objects.filter(project=project, position__gte=first).order_by("position")[:count]:
        submit(user=user, task_id=task.pk, value=choose(names[task.position % 3]), key=f"k{task.pk}")


@pytest.fixture
def project(alice: User, workspace: Workspace) -> LabelProject:
    made = make_project(alice, workspace, parcels(30))
    label(made, alice, 12)
    made.refresh_from_db()
    return made


def ended(job: Job | None, state: str, **result: Any) -> None:
    assert job is not None
    Job.objects.filter(pk=job.pk).update(state=state, result=result)


@pytest.mark.django_db(transaction=True)
def test_one_click_learns_with_the_real_program_and_reorders_the_queue(
    alice: User, alice_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    """S6.9: what was labelled is frozen, learnt, and the open records get proposals, the least sure ones first."""
    leases.ensure_slots()
    page = alice_client.get(reverse("label_project", args=[workspace.slug, project.pk])).content.decode()
    assert "Learn from the labels so far" in page
    assert alice_client.post(reverse("label_learn", args=[workspace.slug, project.pk]), {"base_model": ""}).status_code == 302
    advance_rounds()
    made = LearningRound.objects.get()
    assert made.state == RoundState.LEARNING
    assert made.version is not None
    assert (made.version.count, made.version.parent_id) == (12, project.version_id)
    assert running.run_next("light")
    advance_rounds()
    made.refresh_from_db()
    assert (made.state, made.learnt, made.scored, made.held_out) == (RoundState.DONE, 12, 18, 12)
    assert made.accuracy is not None
    assert made.accuracy > 0.5
    scores = dict(Prediction.objects.filter(source=made.source).values_list("task_id", "score"))
    turn = next_task(user=alice, project_id=project.pk)
    assert turn.task is not None
    assert scores[turn.task.pk] == pytest.approx(min(scores.values()), abs=1e-6)
    shown = alice_client.get(reverse("label_learning", args=[workspace.slug, project.pk])).content.decode()
    assert "Round 1" in shown
    assert f"{made.accuracy:.0%}".rstrip("%") in shown


def test_a_crash_at_any_step_repeats_it_without_a_second_version_or_job(
    alice: User, project: LabelProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rounds.start_round(user=alice, project_id=project.pk)
    move = advancing._move

    def killed(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(advancing, "_move", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            advance_rounds()
        LearningRound.objects.update(version=None, claimed_until=None)  # killed before anything was noted
    monkeypatch.setattr(advancing, "_move", move)
    advance_rounds()
    made.refresh_from_db()
    assert made.state == RoundState.LEARNING
    assert DatasetVersion.objects.filter(recipe__learning_round=made.pk).count() == 1
    assert Job.objects.filter(kind="assist").count() == 1


def test_a_round_is_moved_by_one_worker_at_a_time(alice: User, project: LabelProject) -> None:
    made = rounds.start_round(user=alice, project_id=project.pk)
    inside = LearningRound.objects.get(pk=made.pk)

    def step(row: LearningRound) -> bool:
        advance_rounds()  # another worker
        return False

    original = advancing.STEPS[RoundState.FREEZING]
    advancing.STEPS[RoundState.FREEZING] = step
    try:
        advancing.advance(inside)
    finally:
        advancing.STEPS[RoundState.FREEZING] = original
    made.refresh_from_db()
    assert (made.state, made.claimed_until) == (RoundState.FREEZING, None)


def test_a_language_model_is_trained_deployed_asked_and_stopped(alice: User, workspace: Workspace, project: LabelProject) -> None:
    base = Model.objects.create(workspace=workspace, name="base", kind="base", state=ModelState.READY)
    made = rounds.start_round(user=alice, project_id=project.pk, base_model=base.pk)
    advance_rounds()
    made.refresh_from_db()
    assert made.learn_job is not None
    assert (made.state, made.learn_job.kind) == (RoundState.LEARNING, "sft")
    assert (made.learn_job.spec["base_model"], made.learn_job.spec["datasets"]) == (base.pk, [made.version_id])
    assert made.version is not None
    held_out = [task.pk for task in Task.objects.all() if task.position < 12 and task.position * 37 % 100 < 10]
    assert held_out
    assert made.version.count == 12 - len(held_out)
    advance_rounds()
    made.refresh_from_db()
    assert made.state == RoundState.LEARNING
    Model.objects.create(workspace=workspace, name="tuned", kind="tuned", state=ModelState.READY, job=made.learn_job)
    ended(made.learn_job, State.DONE)
    advance_rounds()
    made.refresh_from_db()
    assert made.state == RoundState.STARTING
    Deployment.objects.update(health=Health.READY, address="127.0.0.1", port=9)
    advance_rounds()
    made.refresh_from_db()
    assert made.score_job is not None
    assert (made.state, made.score_job.spec["wording"]) == (RoundState.SCORING, "learnt")
    said = [{"task": pk, "value": choose("card"), "score": 0.5} for pk in held_out]
    from webapp.labeling.predicting import Proposed, store_predictions

    store_predictions(project, made.score_job.spec["version"], [Proposed(**one) for one in said])
    ended(made.score_job, State.DONE)
    advance_rounds()
    made.refresh_from_db()
    right = sum(1 for pk in held_out if Task.objects.get(pk=pk).position % 3 == 0)
    assert (made.state, made.right, made.held_out) == (RoundState.DONE, right, len(held_out))
    assert Deployment.objects.get().wanted == Wanted.STOPPED
    assert [step.state for step in showing.steps_of(made)] == ["done"] * 5


def test_cancel_ends_the_round_and_its_job(alice: User, project: LabelProject) -> None:
    made = rounds.start_round(user=alice, project_id=project.pk)
    advance_rounds()
    made = rounds.cancel_round(user=alice, round_id=made.pk)
    assert made.state == RoundState.CANCELLED
    assert Job.objects.get(kind="assist").state == State.CANCELLED
    assert [step.state for step in showing.steps_of(made)] == ["done", "cancelled", "waiting"]
    advance_rounds()
    made.refresh_from_db()
    assert made.state == RoundState.CANCELLED


def test_cancelled_while_a_step_is_taken_leaves_no_job_behind(
    alice: User, project: LabelProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rounds.start_round(user=alice, project_id=project.pk)
    assist = advancing._assist

    def cancelled_meanwhile(row: LearningRound, user: User) -> Job:
        rounds.cancel_round(user=alice, round_id=made.pk)
        return assist(row, user)

    monkeypatch.setattr(advancing, "_assist", cancelled_meanwhile)
    advance_rounds()
    made.refresh_from_db()
    assert made.state == RoundState.CANCELLED
    assert Job.objects.get(kind="assist").state == State.CANCELLED


def test_a_job_that_fails_ends_the_round_with_its_sentence(
    alice: User, alice_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    made = rounds.start_round(user=alice, project_id=project.pk)
    advance_rounds()
    Job.objects.update(state=State.FAILED, error_code="assist.too_few", error_template="There are too few labels.")
    advance_rounds()
    made.refresh_from_db()
    assert (made.state, made.error["code"]) == (RoundState.FAILED, "assist.too_few")
    page = alice_client.get(reverse("label_learning", args=[workspace.slug, project.pk])).content.decode()
    assert "There are too few labels." in page
    assert rounds.start_round(user=alice, project_id=project.pk).number == 2


def test_rounds_start_by_themselves_after_so_many_labels(alice: User, alice_client: Client, project: LabelProject) -> None:
    body = {"every": 10}
    url = f"/api/v1/label-projects/{project.pk}/learning-plan"
    assert alice_client.put(url, body, "application/json").json() == {"every": 10, "base_model": None}
    advance_rounds()
    made = LearningRound.objects.get()
    assert (made.is_automatic, made.labels) == (True, 12)
    advance_rounds()
    ended(made.learn_job or LearningRound.objects.get().learn_job, State.DONE, labels=12, right=6, held_out=12)
    advance_rounds()
    assert LearningRound.objects.get().state == RoundState.DONE
    label(project, alice, 10, first=12)
    advance_rounds()
    assert list(LearningRound.objects.order_by("number").values_list("labels", flat=True)) == [12, 22]
    chart = alice_client.get(reverse("label_learning_accuracy", args=[project.workspace.slug, project.pk])).json()
    assert chart["data"][0]["x"] == [12]


def test_a_finished_job_may_be_stored_again_and_takes_old_proposals_away(alice: User, project: LabelProject) -> None:
    old = PredictionSource.objects.create(project=project, name="assistant · round 0")
    LearningRound.objects.create(project=project, number=1, state=RoundState.DONE, source=old)
    tasks = list(Task.objects.filter(open_slots__gt=0).order_by("position"))
    Prediction.objects.bulk_create(Prediction(task=task, source=old, value=choose("cash"), score=0.9) for task in tasks)
    LabelProject.objects.update(has_predictions=True)
    held = next_task(user=alice, project_id=project.pk).task
    assert held is not None
    rounds.start_round(user=alice, project_id=project.pk)
    advance_rounds()
    job = Job.objects.get(kind="assist")
    quick.inputs(job)
    output = paths.output_dir(job.pk)
    output.mkdir(parents=True, exist_ok=True)
    lines = "".join(f'{{"task": {task.pk}, "value": [], "score": null}}\n' for task in tasks)
    (output / "predictions.jsonl").write_text(lines)
    for _ in range(2):
        quick.finished(job)
    assert list(Prediction.objects.filter(source=old).values_list("task", flat=True)) == [held.pk]


def test_what_cannot_be_learnt_is_told(alice: User, workspace: Workspace, project: LabelProject) -> None:
    few = make_project(alice, workspace, texts(3), name="Few", dataset="Few")
    with pytest.raises(UserError, match="at least 10"):
        rounds.start_round(user=alice, project_id=few.pk)
    answers = make_project(alice, workspace, conversations(3), ANSWER, name="Answers", dataset="Answers")
    with pytest.raises(UserError, match="None of the questions"):
        rounds.start_round(user=alice, project_id=answers.pk)
    assert [field["name"] for field in rounds.ways_of(answers).model] == ["answer"]
    with pytest.raises(UserError, match="tasks"):
        rounds.start_round(user=alice, project_id=project.pk, limit=0)
    rounds.start_round(user=alice, project_id=project.pk)
    with pytest.raises(UserError, match="running already"):
        rounds.start_round(user=alice, project_id=project.pk)
    with pytest.raises(UserError, match="Choose 0"):
        rounds.plan_rounds(user=alice, project_id=project.pk, every=3)


def test_only_managers_start_and_cancel_and_strangers_see_nothing(
    alice: User, alice_client: Client, bob_client: Client, charlie_client: Client, charlie: User, workspace: Workspace,
    project: LabelProject,
) -> None:  # fmt: skip
    api = f"/api/v1/label-projects/{project.pk}"
    made = post(alice_client, f"{api}/rounds", {}, 201)
    pages = [reverse(name, args=[workspace.slug, project.pk]) for name in ("label_learning", "label_learning_accuracy")]
    addresses = [*pages, f"{api}/rounds", f"/api/v1/learning-rounds/{made['id']}"]
    for address in addresses:
        assert [client.get(address).status_code for client in (alice_client, bob_client, charlie_client)] == [200, 403, 404]
    names = ("label_learn", "label_learn_plan", "label_learn_cancel")
    posts = [reverse(name, args=[workspace.slug, project.pk]) for name in names]
    for address in (*posts, f"{api}/rounds", f"/api/v1/learning-rounds/{made['id']}/cancel"):
        kind = {"content_type": "application/json"} if address.startswith("/api") else {}
        body = {"round": made["id"]} if not kind else {}
        assert [client.post(address, body, **kind).status_code for client in (bob_client, charlie_client)] == [403, 404]
    with pytest.raises(NotFound):
        rounds.access_round(charlie, made["id"])
    assert alice_client.get(f"{api}/rounds").json()["items"][0]["state"] == "freezing"
    cancel = reverse("label_learn_cancel", args=[workspace.slug, project.pk])
    assert alice_client.post(cancel, {"round": made["id"]}).status_code == 302
    assert LearningRound.objects.get().state == RoundState.CANCELLED
    plan = reverse("label_learn_plan", args=[workspace.slug, project.pk])
    assert alice_client.post(plan, {"every": "50", "base_model": ""}).status_code == 302
    assert LearningPlan.objects.get().every == 50


def test_gold_question_is_made_of_one_record_on_the_page(
    alice: User, alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    """S6.11: any labelled record becomes a gold question with its answer, and an ordinary one again."""
    task = Task.objects.order_by("position")[0]
    annotation = task.annotations.get()
    url = reverse("label_task_gold", args=[workspace.slug, project.pk])
    body = {"annotation": annotation.pk, "gold": "1"}
    assert [client.post(url, body).status_code for client in (bob_client, charlie_client)] == [403, 404]
    page = alice_client.get(reverse("label_project", args=[workspace.slug, project.pk])).content.decode()
    assert "Make it a gold question" in page
    assert alice_client.post(url, body).status_code == 302
    task.refresh_from_db()
    assert task.gold == annotation.value
    assert alice_client.post(url, {"annotation": annotation.pk, "gold": "0"}).status_code == 302
    task.refresh_from_db()
    assert task.gold is None

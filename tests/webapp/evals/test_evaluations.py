"""Suites in two clicks, and evaluations with the real program (S9.4, S9.6)."""

import json
from typing import Any

import pytest

from tests.webapp.registry.conftest import Run, make_version
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.evals import services
from webapp.evals.guessing import guess_config
from webapp.evals.kinds import context
from webapp.evals.models import Evaluation, EvaluationState, Sample, Suite
from webapp.evals.queries import choices_of
from webapp.evals.results import store_results
from webapp.jobs import paths
from webapp.jobs.models import Job, State
from webapp.jobs.services import cancel_job, clone_job
from webapp.registry import lineage
from webapp.registry.models import Model
from workers.spec.record import Message, Record


def test_method_is_guessed_from_the_records(
    alice: User, workspace: Workspace, intents: DatasetVersion, conversations: DatasetVersion
) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {}}}
    calls = [Record(id="1", messages=[Message(role="user", content="?"), Message(role="assistant", tool_calls=[call])])]
    choices = [Record(id="1", text="2 + 2?", choices=["3", "4"], answer=1)]
    found = {
        "intents": guess_config(intents),
        "conversations": guess_config(conversations),
        "calls": guess_config(make_version(alice, workspace, "Calls", calls)),
        "choices": guess_config(make_version(alice, workspace, "Choices", choices)),
    }
    assert {name: (config.method, config.metric) for name, config in found.items()} == {
        "intents": ("multiple_choice", "exact"),
        "conversations": ("generation", "exact"),
        "calls": ("generation", "tool_call"),
        "choices": ("multiple_choice", "exact"),
    }


def test_a_dataset_that_cannot_be_asked_is_refused(alice: User, unlabelled: DatasetVersion) -> None:
    with pytest.raises(UserError, match="has only id, text") as caught:
        services.create_suite(user=alice, slug="academy", version_id=unlabelled.pk)
    assert caught.value.code == "suite.unusable_dataset"


def test_suites_have_names_of_their_own(alice: User, suite: Suite, conversations: DatasetVersion) -> None:
    with pytest.raises(UserError, match="choose another name"):
        services.create_suite(user=alice, slug="academy", version_id=conversations.pk, name="Intents test")
    other = services.create_suite(user=alice, slug="academy", version_id=conversations.pk, config={"max_new_tokens": 8})
    assert (other.name, other.config["method"], other.config["max_new_tokens"]) == ("Conversations v1", "generation", 8)
    with pytest.raises(UserError, match="choose another name"):
        services.update_suite(user=alice, suite_id=other.pk, name="Intents test")


def test_bob_may_look_but_not_run(alice: User, bob: User, charlie: User, suite: Suite, tiny: Model) -> None:
    for user, code in ((bob, "access.role_too_low"), (charlie, "not_found")):
        with pytest.raises(UserError) as caught:
            services.run_evaluations(user=user, suite_id=suite.pk, model_ids=[tiny.pk])
        assert caught.value.code == code
    with pytest.raises(UserError, match="choose at least one"):
        services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[])


def test_the_same_key_starts_an_evaluation_once(alice: User, suite: Suite, tiny: Model) -> None:
    first = services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[tiny.pk, tiny.pk], idempotency_key="k")
    again = services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[tiny.pk], idempotency_key="k")
    assert first == again
    assert Job.objects.count() == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_multiple_choice_ends_in_samples_and_a_score(alice: User, suite: Suite, tiny: Model, run_job: Run) -> None:
    [evaluation] = services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[tiny.pk])
    job = run_job(evaluation.job)  # type: ignore[arg-type]
    assert job.state == State.DONE, (job.error_template, job.error_params)
    evaluation.refresh_from_db()
    assert (evaluation.state, evaluation.count) == (EvaluationState.DONE, 20)
    assert evaluation.score is not None
    assert evaluation.low is not None
    assert evaluation.low < evaluation.score < (evaluation.high or 0)
    samples = list(evaluation.samples.order_by("position"))
    assert len(samples) == 20
    assert sum(sample.correct for sample in samples) == evaluation.correct
    choices = choices_of(samples[0], evaluation)
    assert {choice.text for choice in choices} == {"delivery", "refund"}
    assert abs(sum(choice.share for choice in choices) - 1) < 1e-6
    assert [choice.is_picked for choice in choices].count(True) == 1
    assert context(job)["evaluation"] == evaluation
    [node] = lineage.descendants(tiny)
    assert node.kind == "evaluation"
    assert f"% of {evaluation.count}, " in node.detail

    Sample.objects.filter(evaluation=evaluation, position__lt=7).delete()
    store_results(job)
    assert evaluation.samples.count() == 20, "a worker killed while loading the samples loads them again"

    clone = run_job(clone_job(user=alice, job_id=job.pk))
    assert clone.state == State.DONE
    assert Evaluation.objects.filter(suite=suite, state=EvaluationState.DONE).count() == 2


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_generation_runs_for_several_models(
    alice: User, workspace: Workspace, tiny: Model, conversations: DatasetVersion, run_job: Run
) -> None:
    suite = services.create_suite(
        user=alice, slug="academy", version_id=conversations.pk, config={"max_new_tokens": 4, "limit": 6}
    )
    [evaluation] = services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[tiny.pk])
    run_job(evaluation.job)  # type: ignore[arg-type]
    evaluation.refresh_from_db()
    assert (evaluation.state, evaluation.count, evaluation.summary["method"]) == (EvaluationState.DONE, 6, "generation")


@pytest.mark.django_db(transaction=True)
def test_cancelled_evaluations_are_over(alice: User, suite: Suite, tiny: Model) -> None:
    [evaluation] = services.run_evaluations(user=alice, suite_id=suite.pk, model_ids=[tiny.pk])
    with pytest.raises(UserError, match="under way"):
        services.delete_suite(user=alice, suite_id=suite.pk)
    cancel_job(user=alice, job_id=evaluation.job_id)  # type: ignore[arg-type]
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.FAILED
    services.delete_evaluation(user=alice, evaluation_id=evaluation.pk)
    services.delete_suite(user=alice, suite_id=suite.pk)
    assert not Suite.objects.exists()


def test_samples_are_loaded_in_chunks(workspace: Workspace, suite: Suite, tiny: Model, monkeypatch: Any) -> None:
    monkeypatch.setattr("webapp.evals.results.CHUNK", 3)
    evaluation = Evaluation.objects.create(workspace=workspace, suite=suite, model=tiny)
    result = {"score": 0.5, "interval": [0.2, 0.8], "n": 8, "correct": 4, "seconds": 1.0}
    job = Job.objects.create(
        workspace=workspace, kind="evaluate", name="e", spec={"evaluation": evaluation.pk}, spec_hash="", result=result
    )
    lines = [
        {"position": n, "record_id": f"r{n}", "prompt": "p", "reference": "r", "output": "o", "correct": n % 2 == 0, "score": 1.0}
        for n in range(8)
    ]
    (paths.output_dir(job.pk) / "samples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    store_results(job)
    store_results(job)
    evaluation.refresh_from_db()
    assert evaluation.samples.count() == 8
    assert (evaluation.score, evaluation.high) == (0.5, 0.8)

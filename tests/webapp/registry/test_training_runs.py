"""Training with the real programs: the model enters the registry with its lineage and card (S7.5, S8.1, S8.6, S1.2)."""

from typing import Any

import pytest
from django.test import Client

from tests.webapp.registry.conftest import Run, make_version
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, State
from webapp.registry import lineage
from webapp.registry.models import Model, ModelKind
from webapp.registry.training import services
from webapp.registry.training.kinds import training_finished
from workers.spec.record import Record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
HERE = "/w/academy"


def start(alice: User, kind: str, run_job: Run, **values: Any) -> Job:
    job = run_job(services.start_from_form(user=alice, slug="academy", kind=kind, values=values))
    assert job.state == State.DONE, (job.error_template, job.error_params)
    return job


def test_fine_tuning_registers_a_tuned_model(
    alice: User, alice_client: Client, tiny: Model, conversations: DatasetVersion, run_job: Run
) -> None:
    job = start(
        alice, "sft", run_job, name="Tuned", base_model=tiny.pk, datasets=[conversations.pk], epochs=2, time_budget_seconds=20
    )
    tuned = Model.objects.get(job=job)
    assert (tuned.kind, tuned.base, tuned.family) == (ModelKind.TUNED, tiny, tiny.family)
    assert tuned.weights_sha256 == (job.result or {})["weights_sha256"] != tiny.weights_sha256
    assert tuned.template_hash == (job.result or {})["template_hash"]
    assert tuned.parameters == tiny.parameters
    assert tuned.card["figures"]["steps"] > 0
    assert tuned.card["resolved"]["learning_rate"] > 0
    assert list(tuned.datasets.all()) == [conversations]
    kinds = {node.kind for generation in lineage.ancestors(tuned) for node in generation}
    assert kinds == {"base", "dataset", "job"}
    shown = alice_client.get(f"{HERE}/jobs/{job.pk}/").content.decode()
    assert "is-learnt" in shown
    assert "Is order 0 here?" in shown
    figure = alice_client.get(f"{HERE}/training/runs/{job.pk}/figures/loss/").json()
    assert [trace["name"] for trace in figure["data"]][:1] == ["loss"]
    assert len(figure["data"][0]["x"]) > 1
    assert alice_client.get(f"{HERE}/models/{tuned.pk}/").status_code == 200
    training_finished(job)
    assert Model.objects.filter(job=job).count() == 1, "a worker killed while registering repeats it"


def test_lora_registers_an_adapter_on_its_base(
    alice: User, workspace: Workspace, tiny: Model, intents: DatasetVersion, run_job: Run
) -> None:
    job = start(
        alice, "sft", run_job, name="Lora", base_model=tiny.pk, datasets=[intents.pk], method="lora", epochs=1, lora={"rank": 2}
    )
    adapter = Model.objects.get(job=job)
    assert (adapter.kind, adapter.base) == (ModelKind.ADAPTER, tiny)
    assert (adapter.context_length, adapter.template_hash) == (tiny.context_length, tiny.template_hash)
    assert adapter.bytes < tiny.bytes + 200_000


def test_from_text_to_a_base_model(alice: User, workspace: Workspace, run_job: Run) -> None:
    texts = [Record(id=f"t{n}", text=f"The library opens at {n % 12} o'clock and closes late. 书院开门。") for n in range(60)]
    version = make_version(alice, workspace, "Text", texts)
    tokenizer = Model.objects.get(job=start(alice, "tokenizer", run_job, name="Tokens", datasets=[version.pk], vocabulary=300))
    assert (tokenizer.kind, tokenizer.parameters) == (ModelKind.TOKENIZER, 0)
    assert 256 < tokenizer.vocabulary <= 310
    shape = {"hidden_size": 32, "layers": 1, "heads": 2, "context_length": 64}
    values = {"architecture": shape, "sequence_length": 32, "token_budget": 3000}
    job = start(alice, "pretrain", run_job, name="Base", datasets=[version.pk], tokenizer=tokenizer.pk, **values)
    base = Model.objects.get(job=job)
    assert (base.kind, base.base, base.family) == (ModelKind.BASE, tokenizer, "Base")
    assert base.context_length == 64

"""Pages of models and training: what a person meets; who is kept out; how many queries a list takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.workers.models.tiny import write_adapter, write_model
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.registering import register_model

HERE = "/w/academy"
PAGES = ["models/", "models/1/", "training/", "models/exports/1/", "training/runs/1/examples/", "training/compare/?runs=1"]
MANAGER_PAGES = ["models/import/", "models/endpoint/", "training/new/sft/", "training/new/pretrain/", "training/new/tokenizer/"]


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.mark.parametrize("address", [*PAGES, *MANAGER_PAGES])
def test_strangers_get_nothing(charlie_client: Client, workspace: Workspace, address: str) -> None:
    assert charlie_client.get(f"{HERE}/{address}").status_code == 404
    assert Client().get(f"{HERE}/{address}").status_code == 302


@pytest.mark.parametrize("address", MANAGER_PAGES)
def test_annotators_may_not_start_things(bob_client: Client, address: str) -> None:
    assert bob_client.get(f"{HERE}/{address}").status_code == 403


def test_empty_pages_lead_on(alice_client: Client) -> None:
    assert "Import a model" in text(alice_client.get(f"{HERE}/models/"))
    assert "Start the first run" in text(alice_client.get(f"{HERE}/training/"))
    assert "No dataset to learn from" in text(alice_client.get(f"{HERE}/training/new/sft/"))


def test_model_page_shows_card_template_files_and_lineage(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion, tmp_path: Path
) -> None:
    job = Job.objects.create(workspace=workspace, kind="sft", name="The run", spec={"datasets": []}, spec_hash="")
    tuned = register_model(
        workspace=workspace,
        name="Tuned",
        kind=ModelKind.TUNED,
        folder=write_model(tmp_path / "out", seed=2),
        base=tiny,
        job=job,
        datasets=[conversations],
        card={"figures": {"steps": 12, "final_loss": 0.5, "dropped": {"too long": 3}}, "resolved": {"epochs": 2.0}},
    )
    shown = text(alice_client.get(f"{HERE}/models/{tuned.pk}/"))
    for part in ("Conversations v1", "The run", "Tiny", "model.safetensors", "im_start", tuned.weights_sha256, "too long"):
        assert part in shown, part
    base = text(alice_client.get(f"{HERE}/models/{tiny.pk}/"))
    assert f"{HERE}/models/{tuned.pk}/" in base
    assert "cannot be deleted" in base


def test_failed_and_building_models_say_so(alice_client: Client, workspace: Workspace) -> None:
    error = {
        "code": "model.no_weights",
        "template": "The model folder {folder} has no .safetensors file.",
        "params": {"folder": "x"},
    }
    failed = Model.objects.create(
        workspace=workspace, name="Bad", family="Bad", kind=ModelKind.BASE, state=ModelState.FAILED, error=error
    )
    assert "The model folder x has no .safetensors file." in text(alice_client.get(f"{HERE}/models/{failed.pk}/"))
    assert "Being made" in text(
        alice_client.get(
            f"{HERE}/models/{Model.objects.create(workspace=workspace, name='New', family='New', kind=ModelKind.BASE).pk}/"
        )
    )


def test_edit_and_delete_on_the_page(alice_client: Client, tiny: Model) -> None:
    changes = {"name": "Small", "family": "Tiny", "licence": "MIT", "languages": "zh，en", "description": "<b>bold</b>"}
    shown = text(alice_client.post(f"{HERE}/models/{tiny.pk}/edit/", changes, follow=True))
    assert "Small" in shown
    assert "zh, en" in shown
    assert "&lt;b&gt;bold" in shown
    assert alice_client.post(f"{HERE}/models/{tiny.pk}/delete/").status_code == 302
    assert not Model.objects.exists()


def test_import_page_says_what_is_wrong(alice_client: Client) -> None:
    shown = text(alice_client.post(f"{HERE}/models/import/", {"folder": "../../etc/passwd"}))
    assert "There is no model folder" in shown
    assert "Give either a folder" in text(alice_client.post(f"{HERE}/models/import/", {}))


def test_endpoint_page_refuses_private_addresses(alice_client: Client) -> None:
    shown = text(alice_client.post(f"{HERE}/models/endpoint/", {"url": "http://127.0.0.1:9/v1", "key": "s3cret"}))
    assert "may not be called" in shown
    assert "s3cret" not in shown


def test_model_list_takes_few_queries(
    alice_client: Client, workspace: Workspace, tiny: Model, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        Model.objects.create(workspace=workspace, name=f"M{number}", family=f"F{number % 5}", kind=ModelKind.TUNED, base=tiny)
    alice_client.get(f"{HERE}/models/")
    with django_assert_max_num_queries(12):
        shown = text(alice_client.get(f"{HERE}/models/"))
    assert "6 versions" in shown
    assert "M1<" not in text(alice_client.get(f"{HERE}/models/?q=tiny"))


def test_run_list_takes_few_queries(alice_client: Client, workspace: Workspace, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        Job.objects.create(workspace=workspace, kind="sft", name=f"run {number}", spec={}, spec_hash="")
    alice_client.get(f"{HERE}/training/")
    with django_assert_max_num_queries(12):
        assert "run 19" in text(alice_client.get(f"{HERE}/training/"))


@pytest.fixture
def ready(tiny: Model, conversations: DatasetVersion) -> tuple[Model, DatasetVersion]:
    return tiny, conversations


def test_training_form_is_filled_in(alice_client: Client, ready: tuple[Model, DatasetVersion]) -> None:
    shown = text(alice_client.get(f"{HERE}/training/new/sft/"))
    assert re.search(r'<option value="\d+" selected>Conversations v1', shown)
    assert re.search(r'<option value="\d+" selected>Tiny', shown)
    assert 'value="Tiny · Conversations"' in shown
    before_advanced, _, advanced = shown.partition("<summary")
    visible = before_advanced.split('id="training-form"')[1]
    assert len(re.findall(r'<(?:input(?! type="hidden")|select|textarea)', visible)) == 4
    for name in ("optimisation.learning_rate", "lora.rank", "saving.keep", "epochs"):
        assert f'name="{name}"' in advanced


def test_start_works_with_nothing_filled_in(alice_client: Client, ready: tuple[Model, DatasetVersion]) -> None:
    """S8.6: zero knobs."""
    tiny, conversations = ready
    sent = {"datasets": conversations.pk, "base_model": tiny.pk, "method": "auto", "name": "Tiny · Conversations"}
    response = alice_client.post(f"{HERE}/training/new/sft/", {**sent, "advanced": "1", "idempotency_key": "once"})
    job = Job.objects.get()
    assert response.headers["Location"] == f"{HERE}/jobs/{job.pk}/"
    assert job.spec["base_model"] == tiny.pk
    assert job.spec["optimisation"]["learning_rate"] is None
    assert job.spec["sample_prompts"] == ["Is order 0 here?", "Is order 1 here?"]
    alice_client.post(f"{HERE}/training/new/sft/", {**sent, "advanced": "1", "idempotency_key": "once"})
    assert Job.objects.count() == 1


def test_advanced_settings_reach_the_spec(alice_client: Client, ready: tuple[Model, DatasetVersion]) -> None:
    tiny, conversations = ready
    sent = {"datasets": conversations.pk, "base_model": tiny.pk, "method": "lora", "name": "L", "advanced": "1", "lora.rank": "4"}
    more = {"optimisation.learning_rate": "0.002", "epochs": "2.5", "sample_prompts": "One?\r\nTwo?", "lora.targets": "q_proj"}
    alice_client.post(f"{HERE}/training/new/sft/", {**sent, **more})
    spec = Job.objects.get().spec
    assert (spec["method"], spec["lora"]["rank"], spec["lora"]["targets"]) == ("lora", 4, ["q_proj"])
    assert (spec["optimisation"]["learning_rate"], spec["epochs"], spec["sample_prompts"]) == (0.002, 2.5, ["One?", "Two?"])


def test_bad_settings_are_named_beside_their_field(alice_client: Client, ready: tuple[Model, DatasetVersion]) -> None:
    tiny, conversations = ready
    sent = {"datasets": conversations.pk, "base_model": tiny.pk, "name": "L", "advanced": "1", "optimisation.learning_rate": "7"}
    response = alice_client.post(f"{HERE}/training/new/sft/", sent)
    assert response.status_code == 422
    assert "it must be 1 or less" in text(response)
    assert not Job.objects.exists()


def test_check_shows_the_mask_before_the_start(
    alice_client: Client, ready: tuple[Model, DatasetVersion], unlabelled: DatasetVersion, intents: DatasetVersion
) -> None:
    tiny, conversations = ready
    shown = text(alice_client.get(f"{HERE}/training/check/sft/?datasets={conversations.pk}&base_model={tiny.pk}"))
    assert "All of the first 24 records can be used." in shown
    learnt = re.findall(r'is-learnt">([^<]+)</span><span class="is-given"', shown) or re.findall(r'is-learnt">([^<]+)<', shown)
    assert any("No." in piece for piece in learnt), learnt
    bad = text(alice_client.get(f"{HERE}/training/check/sft/?datasets={unlabelled.pk}&base_model={tiny.pk}"))
    assert "lack “label”" in bad
    assert "only text 0" in bad
    assert "All of the first 20" in text(
        alice_client.get(f"{HERE}/training/check/sft/?datasets={intents.pk}&base_model={tiny.pk}")
    )


def test_a_dataset_that_cannot_be_used_is_refused_with_field_and_row(
    alice_client: Client, ready: tuple[Model, DatasetVersion], unlabelled: DatasetVersion
) -> None:
    """«Bad input»: say which field is missing and show a row."""
    tiny, _ = ready
    sent = {"datasets": unlabelled.pk, "base_model": tiny.pk, "method": "auto", "name": "X", "advanced": "1"}
    shown = text(alice_client.post(f"{HERE}/training/new/sft/", sent))
    assert "fine-tuning needs “label”" in shown
    assert "only text 0" in shown
    assert not Job.objects.exists()


def test_a_lora_cannot_lie_on_a_lora(
    alice_client: Client, workspace: Workspace, ready: tuple[Model, DatasetVersion], tmp_path: Path
) -> None:
    tiny, conversations = ready
    adapter = register_model(
        workspace=workspace, name="Lora", kind=ModelKind.ADAPTER, folder=write_adapter(tmp_path / "lora"), base=tiny
    )
    sent = {"datasets": conversations.pk, "base_model": adapter.pk, "method": "auto", "name": "X", "advanced": "1"}
    assert "merge the adapter first" in text(alice_client.post(f"{HERE}/training/new/sft/", sent))


def test_things_of_another_workspace_are_out_of_reach(
    alice_client: Client, alice: User, ready: tuple[Model, DatasetVersion], charlie: User
) -> None:
    from tests.webapp.registry.conftest import dialogues, make_version
    from webapp.accounts.services import create_workspace

    other = create_workspace(user=charlie, name="Elsewhere")
    foreign = make_version(charlie, other, "Secret", dialogues(3))
    hidden = Model.objects.create(workspace=other, name="H", family="H", kind=ModelKind.BASE, state=ModelState.READY)
    tiny, conversations = ready
    for sent in ({"datasets": foreign.pk, "base_model": tiny.pk}, {"datasets": conversations.pk, "base_model": hidden.pk}):
        response = alice_client.post(f"{HERE}/training/new/sft/", {**sent, "name": "X", "method": "auto", "advanced": "1"})
        assert "There is nothing here" in text(response)
    assert "Secret" not in text(alice_client.get(f"{HERE}/training/check/sft/?datasets={foreign.pk}"))
    assert alice_client.get(f"{HERE}/models/{hidden.pk}/").status_code == 404
    assert not Job.objects.exists()


def test_compare_puts_differences_first(alice_client: Client, workspace: Workspace) -> None:
    specs = [{"seed": 7, "epochs": 1, "optimisation": {"learning_rate": 0.1}}, {"seed": 7, "epochs": 2, "optimisation": {}}]
    jobs = [
        Job.objects.create(workspace=workspace, kind="sft", name=f"r{n}", spec=spec, spec_hash="") for n, spec in enumerate(specs)
    ]
    shown = text(alice_client.get(f"{HERE}/training/compare/?runs={jobs[0].pk}&runs={jobs[1].pk}"))
    assert shown.index("Epochs") < shown.index("Seed")
    figure = alice_client.get(f"{HERE}/training/compare/figures/loss/?runs={jobs[0].pk},{jobs[1].pk}").json()
    assert figure["data"] == []
    assert alice_client.get(f"{HERE}/training/compare/").status_code == 422

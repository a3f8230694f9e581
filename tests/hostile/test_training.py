"""Training on what cannot be learnt: refused before it starts, in the form and in the API, with the field and a row (S8.1)."""

from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_job_failed, assert_refused, call, leftovers, run_one
from tests.webapp.registry.conftest import make_version
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.registry.models import Model
from workers.spec.record import Message, Record

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/workspaces/academy/training"
MISSING = (
    "“{name}” cannot be learnt from: fine-tuning needs “{field}”, which row {row} has not. "
    "Map a column to it, or choose another dataset."
)


def test_dataset_without_the_field_is_refused(alice_client: Client, tiny: Model, unlabelled: DatasetVersion) -> None:
    """The sentence names the dataset, the field and shows a row; the form says the same before and after pressing Start."""
    body = {"name": "T", "base_model": tiny.pk, "datasets": [unlabelled.pk]}
    error = assert_refused(alice_client, "POST", f"{API}/sft", body, "sft.missing_field", status=400, template=MISSING)
    for part in ("Unlabelled", "“label”", "only text 0"):
        assert part in error["message"]
    check = call(alice_client, "GET", f"{API}/sft/check?dataset={unlabelled.pk}").json()
    assert (check["usable"], check["missing"]) == (0, {"label": check["seen"]})
    assert "only text 0" in check["row"]
    looked = alice_client.get("/w/academy/training/sft/check/", {"datasets": unlabelled.pk, "base_model": tiny.pk})
    if looked.status_code == 404:
        from django.urls import reverse

        looked = alice_client.get(
            reverse("training_check", args=["academy", "sft"]), {"datasets": unlabelled.pk, "base_model": tiny.pk}
        )
    assert "only text 0" in looked.content.decode()
    for language in ("en", "zh-hans"):
        page = alice_client.post(
            "/w/academy/training/new/sft/",
            {"datasets": unlabelled.pk, "base_model": tiny.pk},
            headers={"accept-language": language},
        )
        assert page.status_code == 422
        assert "only text 0" in page.content.decode()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"datasets": [10**30]}, {"datasets": [-1]}, {"base_model": 10**30}, {"datasets": ["x"]}, {"learning_rate": "NaN"},
        {"learning_rate": -1}, {"epochs": 0}, {"epochs": 10**9}, {"sequence_length": 10**12}, {"batch_size": 0},
        {"method": "magic"}, {"name": ""}, {"name": "x" * 5000}, {"seed": 1e400}, {"lora": {"rank": 0}}, {"lora": []},
        {"time_budget_seconds": -5}, {"unknown": 1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, body: dict[str, Any]
) -> None:
    given = {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk], **body}
    answer = call(alice_client, "POST", f"{API}/sft", given)
    assert answer.status_code in {400, 404, 422}, (answer.status_code, answer.content)
    assert_refused(alice_client, "POST", f"{API}/sft", given, answer.json()["error"]["code"])
    assert not Job.objects.exists()


def test_nothing_to_learn_from(alice: User, alice_client: Client, workspace: Workspace, tiny: Model) -> None:
    """Every assistant turn is marked as not to be learnt: the run ends with a sentence, not with a loss of NaN."""
    records = [
        Record(
            id=f"n{number}",
            messages=[
                Message(role="user", content="Is it here?"),
                Message(role="assistant", content="Yes, it is.", train=False),
            ],
        )
        for number in range(6)
    ]
    version = make_version(alice, workspace, "Nothing", records)
    body = {"name": "T", "base_model": tiny.pk, "datasets": [version.pk]}
    answer = call(alice_client, "POST", f"{API}/sft", body)
    if answer.status_code == 202:
        run_one()
        job = Job.objects.get(pk=answer.json()["id"])
        assert_job_failed(alice_client, job, job.error_code)
        assert job.error_code.startswith(("sft.", "train.")), job.error_code
    else:
        assert_refused(alice_client, "POST", f"{API}/sft", body, answer.json()["error"]["code"])
    assert Model.objects.count() == 1
    assert leftovers("datasets", "models") == []


def test_base_model_that_is_deleted_while_the_run_waits(
    alice: User, alice_client: Client, tiny: Model, conversations: DatasetVersion
) -> None:
    body = {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk]}
    job = Job.objects.get(pk=call(alice_client, "POST", f"{API}/sft", body).json()["id"])
    deleted = call(alice_client, "DELETE", f"/api/v1/models/{tiny.pk}")
    if deleted.status_code == 204:
        run_one()
        assert_job_failed(alice_client, job, "model.gone")
    else:
        assert_refused(alice_client, "DELETE", f"/api/v1/models/{tiny.pk}", {}, deleted.json()["error"]["code"], status=409)
        Model.objects.filter(pk=tiny.pk).delete()  # as an operator with the database may
        run_one()
        assert_job_failed(alice_client, job, "model.gone")
    assert not Model.objects.exists()


def test_base_whose_licence_is_not_allowed(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, settings: Any
) -> None:
    body = {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk]}
    settings.ALLOWED_LICENCES = ["apache-2.0", "MIT"]
    for licence in ("cc-by-nc-4.0", ""):
        Model.objects.filter(pk=tiny.pk).update(licence=licence)
        for kind in ("sft", "pretrain", "grpo"):
            assert_refused(alice_client, "POST", f"{API}/{kind}", body, "model.licence_not_allowed")
    assert not Job.objects.exists()
    Model.objects.filter(pk=tiny.pk).update(licence="mit")
    assert call(alice_client, "POST", f"{API}/sft", body).status_code == 202

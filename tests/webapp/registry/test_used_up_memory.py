"""A run that uses up its memory: one sentence, one button, and the recipe behind the button passes (S8.7)."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from tests.webapp.registry.conftest import Run
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs import kinds
from webapp.jobs.models import Job, State
from webapp.registry.models import Model
from webapp.registry.training.services import start_training


def held(job: Job) -> dict[str, str]:
    """Twice the room that there is, or what the lighter recipe of a small model really takes."""
    lighter = job.spec["optimisation"]["gradient_checkpointing"] == "on"
    return {"SHUYUAN_HELD": "0" if lighter else str(2 << 30)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one that Linux keeps")
@pytest.mark.django_db(transaction=True)
def test_used_up_memory_leads_to_a_recipe_that_passes(
    alice: User,
    alice_client: Client,
    workspace: Workspace,
    tiny: Model,
    conversations: DatasetVersion,
    run_job: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The trainer meets a real limit when it begins to train."""
    narrow = replace(kinds.get_kind("sft"), program="tests.programs.narrow_training", environment=held)
    monkeypatch.setitem(kinds._kinds, "sft", narrow)
    settings: dict[str, Any] = {
        "name": "Wide run", "base_model": tiny.pk, "datasets": [conversations.pk], "method": "full", "epochs": 1,
        "max_length": 64, "optimisation": {"tokens_per_step": 4096, "precision": "float32"},
    }  # fmt: skip
    failed = run_job(start_training(user=alice, slug=workspace.slug, kind="sft", values=settings))
    assert (failed.state, failed.error_code) == (State.FAILED, "job.out_of_memory"), failed.error_params
    page = alice_client.get(f"/w/academy/jobs/{failed.pk}/").content.decode()
    assert "The machine has too little memory for this job" in page
    answer = alice_client.post(f"/w/academy/training/runs/{failed.pk}/lighter/")
    second = Job.objects.exclude(pk=failed.pk).get()
    assert answer["Location"].endswith(f"/jobs/{second.pk}/")
    passed = run_job(second)
    assert passed.state == State.DONE, (passed.error_template, passed.error_params)
    assert Model.objects.filter(job=passed).exists()

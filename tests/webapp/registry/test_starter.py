"""The starter in a workspace of one's own: one click, once, and ready to train, without a network."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import AuditEntry, User, Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.registry import services
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.starter import add_starter
from workers.starter import catalog

ADD = "/w/academy/models/starter/"


def shown(client: Client, page: str) -> str:
    return str(client.get(f"/w/academy/{page}").content.decode())


def test_a_newcomer_with_data_but_no_model_adds_it_and_is_back_at_the_form(
    alice_client: Client, conversations: DatasetVersion
) -> None:
    assert ADD in shown(alice_client, "training/new/sft/")
    answer = alice_client.post(ADD, {"then": "sft"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/w/academy/training/new/sft/"
    page = answer.content.decode()
    assert "Starter base" in page
    assert "Shop assistant" in page
    assert ADD not in page
    assert ADD not in shown(alice_client, "models/import/")
    assert AuditEntry.objects.filter(action="model.import", subject=catalog.FAMILY).count() == 1


def test_base_and_tuned_descend_from_each_other_and_are_there_once(alice: User, workspace: Workspace) -> None:
    tuned = add_starter(user=alice, slug="academy")
    assert add_starter(user=alice, slug="academy").pk == tuned.pk
    assert Model.objects.filter(workspace=workspace).count() == 2
    assert (tuned.kind, tuned.state, tuned.base and tuned.base.kind) == (ModelKind.TUNED, ModelState.READY, ModelKind.BASE)
    assert tuned.card["held_out"]


def test_what_was_deleted_is_offered_again(alice: User, alice_client: Client, workspace: Workspace) -> None:
    tuned = add_starter(user=alice, slug="academy")
    services.delete_model(user=alice, model_id=tuned.pk)
    assert ADD in shown(alice_client, "models/import/")
    again = add_starter(user=alice, slug="academy")
    assert again.base_id == tuned.base_id


def test_an_interrupted_click_is_finished_by_the_next_and_not_by_one_at_the_same_time(alice: User, workspace: Workspace) -> None:
    name = "{0.zh} {0.en}".format(catalog.files().models[0].name)
    half = Model.objects.create(workspace=workspace, name=name, family=catalog.FAMILY, kind=ModelKind.BASE, created_by=alice)
    add_starter(user=alice, slug="academy")
    half.refresh_from_db()
    assert half.state == ModelState.BUILDING
    Model.objects.filter(pk=half.pk).update(created_at=timezone.now() - timedelta(minutes=2))
    add_starter(user=alice, slug="academy")
    half.refresh_from_db()
    assert half.state == ModelState.READY


def test_another_model_of_that_name_stays_what_it_is(alice: User, tiny: Model) -> None:
    services.update_model(user=alice, model_id=tiny.pk, name="{0.zh} {0.en}".format(catalog.files().models[0].name))
    with pytest.raises(UserError, match="already a model"):
        add_starter(user=alice, slug="academy")


def test_without_its_weights_the_page_says_what_to_do(
    alice: User, alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert ADD not in shown(alice_client, "models/")
    answer = alice_client.post(ADD)
    assert answer.status_code == 409
    assert "make starter" in answer.content.decode()


def test_only_managers_add_it_and_strangers_find_nothing(
    bob_client: Client, charlie_client: Client, workspace: Workspace
) -> None:
    assert ADD not in shown(bob_client, "models/")
    assert bob_client.post(ADD).status_code == 403
    assert charlie_client.post(ADD).status_code == 404
    assert not Model.objects.exists()


def test_api_adds_it(alice_client: Client, workspace: Workspace) -> None:
    answer = alice_client.post("/api/v1/workspaces/academy/models/starter")
    assert answer.status_code == 201
    assert answer.json()["kind"] == "tuned"

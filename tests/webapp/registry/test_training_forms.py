"""The training form: every method that can be run has one; presets of size; the preview of preferences (S7.5, S8.2, S1.3)."""

from typing import Any

import pytest
from django.test import Client

from tests.webapp.registry.conftest import Run, make_version
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, State
from webapp.registry.models import Model, ModelKind
from webapp.registry.training import planning, services
from webapp.registry.training.presets import PRESETS
from webapp.registry.training.spec_fields import form_groups
from workers.spec.record import Message, Record

pytestmark = pytest.mark.django_db
HERE = "/w/academy/training"


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.fixture
def preferences(alice: User, workspace: Workspace) -> DatasetVersion:
    asked = [Message(role="user", content="Where is my parcel?")]
    rows = [
        Record(
            id=f"p{number}",
            messages=asked,
            chosen=[Message(role="assistant", content=f"It arrives on day {number}.")],
            rejected=[Message(role="assistant", content="No idea.")],
        )
        for number in range(12)
    ]
    return make_version(alice, workspace, "Preferences", rows)


@pytest.mark.parametrize("kind", list(services.SPECS))
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_method_has_a_form_with_help_for_every_field(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, kind: str, language: str
) -> None:
    alice_client.cookies["shuyuan_language"] = language
    shown = text(alice_client.get(f"{HERE}/new/{kind}/"))
    assert 'id="training-form"' in shown
    for group in form_groups(services.SPECS[kind], without={"name", "datasets", "base_model"}):
        for item in group.fields:
            assert f'name="{item.path}"' in shown
            assert item.help, item.path


@pytest.mark.parametrize("kind", ["preference", "reward"])
def test_preferences_are_previewed_side_by_side(
    alice_client: Client, tiny: Model, preferences: DatasetVersion, kind: str
) -> None:
    shown = text(alice_client.get(f"{HERE}/check/{kind}/", {"datasets": preferences.pk, "base_model": tiny.pk}))
    assert "All of the first 12 records can be used." in shown
    assert (
        shown.index("chosen answer")
        < shown.index("It arrives on day 0.")
        < shown.index("rejected answer")
        < shown.index("No idea.")
    )


def test_rows_that_cannot_be_learnt_are_counted_by_reason_before_the_start(
    alice: User, workspace: Workspace, alice_client: Client, tiny: Model
) -> None:
    """S8.3: what training leaves out is known beforehand: empty answers, lacking ones, too long ones."""
    asked = Message(role="user", content="Where is it?")

    def answered(content: str) -> list[Message]:
        return [asked, Message(role="assistant", content=content)]

    said = [answered("Here."), answered("   "), [asked], answered("There."), answered("far " * 400), answered("")]
    version = make_version(alice, workspace, "Holes", [Record(id=f"h{n}", messages=turns) for n, turns in enumerate(said)])
    shown = text(alice_client.get(f"{HERE}/check/sft/", {"datasets": version.pk, "base_model": tiny.pk, "max_length": "64"}))
    assert "2 of the first 6 records can be learnt" in shown
    for reason, count in (("an empty answer", 2), ("no answer by the assistant", 1), ("longer than 64 tokens", 1)):
        assert f'{reason}</span> <span class="number">{count}</span>' in shown
    assert "Here.<" in shown.replace("Here.&lt;", "Here.<")
    found = alice_client.get(f"/api/v1/workspaces/academy/training/sft/check?dataset={version.pk}").json()
    assert found["missing"] == {"messages (an answer that is not empty)": 2, "messages (an assistant turn)": 1}


def test_a_preference_between_equal_answers_is_left_out(
    alice: User, workspace: Workspace, alice_client: Client, tiny: Model
) -> None:
    asked, same = [Message(role="user", content="Hello?")], [Message(role="assistant", content="Hello.")]
    other = [Message(role="assistant", content="What?")]
    rows = [
        Record(id="a", messages=asked, chosen=same, rejected=same),
        Record(id="b", messages=asked, chosen=same, rejected=other),
    ]
    version = make_version(alice, workspace, "Equal", rows)
    shown = text(alice_client.get(f"{HERE}/check/preference/", {"datasets": version.pk, "base_model": tiny.pk}))
    assert "1 of the first 2 records can be learnt" in shown
    assert "the chosen and the rejected answer are the same" in shown


def test_kto_takes_verdicts_and_dpo_does_not(alice: User, workspace: Workspace, alice_client: Client, tiny: Model) -> None:
    turns = [Message(role="user", content="Hello?"), Message(role="assistant", content="Hello.")]
    version = make_version(alice, workspace, "Verdicts", [Record(id="v", messages=turns, desirable=True)])
    chosen = {"datasets": version.pk, "base_model": tiny.pk}
    assert "a good answer" in text(alice_client.get(f"{HERE}/check/preference/", {**chosen, "loss": "kto"}))
    assert "cannot be used" in text(alice_client.get(f"{HERE}/check/preference/", {**chosen, "loss": "dpo"}))


def test_start_with_nothing_filled_in_queues_the_run(alice_client: Client, tiny: Model, preferences: DatasetVersion) -> None:
    """S8.6: dataset, model, Start."""
    shown = text(alice_client.get(f"{HERE}/new/preference/"))
    assert f'<option value="{preferences.pk}" selected>' in shown
    answer = alice_client.post(f"{HERE}/new/preference/", {"datasets": preferences.pk, "base_model": tiny.pk, "loss": "orpo"})
    job = Job.objects.get()
    assert answer["Location"].endswith(f"/jobs/{job.pk}/")
    assert (job.kind, job.spec["loss"], job.spec["method"]) == ("preference", "orpo", "auto")


def test_conversations_are_no_preferences(alice_client: Client, tiny: Model, conversations: DatasetVersion) -> None:
    answer = alice_client.post(f"{HERE}/new/preference/", {"datasets": conversations.pk, "base_model": tiny.pk})
    assert answer.status_code == 422
    assert "chosen" in text(answer)
    assert not Job.objects.exists()


def test_presets_fill_in_the_architecture(alice_client: Client, tiny: Model, unlabelled: DatasetVersion) -> None:
    shown = text(alice_client.get(f"{HERE}/new/pretrain/"))
    assert all(str(preset.label) in shown for preset in PRESETS)
    posted = {"datasets": unlabelled.pk, "tokenizer": tiny.pk, "name": "New", "advanced": "1"}
    filled = text(
        alice_client.post(f"{HERE}/new/pretrain/", {**posted, "apply": "architecture.hidden_size=320&sequence_length=256"})
    )
    assert 'name="architecture.hidden_size" value="320"' in filled
    assert not Job.objects.exists()
    sizes = [preset.shape(32000).parameters for preset in PRESETS]
    assert sizes == sorted(sizes)


def test_the_api_starts_preferences(
    alice_client: Client, charlie_client: Client, tiny: Model, preferences: DatasetVersion
) -> None:
    address = "/api/v1/workspaces/academy/training/preference"
    body = {"name": "Liked", "base_model": tiny.pk, "datasets": [preferences.pk], "loss": "dpo", "method": "lora"}
    assert charlie_client.post(address, body, "application/json").status_code == 404
    answer = alice_client.post(address, body, "application/json")
    assert answer.status_code == 202, answer.content
    assert answer.json()["kind"] == "preference"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_preferences_and_rewards_end_in_the_registry(
    alice: User, workspace: Workspace, tiny: Model, preferences: DatasetVersion, run_job: Run
) -> None:
    """S8.2, with the real programs: a tuned model from preferences, and a reward model, which nothing offers to chat with."""
    few = {"datasets": [preferences.pk], "base_model": tiny.pk, "epochs": 1}
    made = {}
    for kind in ("preference", "reward"):
        values = {**few, "name": f"Made by {kind}"}
        job = run_job(services.start_from_form(user=alice, slug="academy", kind=kind, values=values))
        assert job.state == State.DONE, (job.error_template, job.error_params)
        made[kind] = Model.objects.get(job=job)
    assert (made["preference"].kind, made["preference"].base) == (ModelKind.TUNED, tiny)
    assert made["reward"].kind == ModelKind.REWARD
    offered = [value for value, _ in planning.offered_models(workspace)]
    assert str(made["preference"].pk) in offered
    assert str(made["reward"].pk) not in offered


@pytest.mark.parametrize("kind", list(services.SPECS))
def test_enter_in_a_field_starts_the_run_and_nothing_else(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, kind: str
) -> None:
    """A browser presses the first button of a form; neither a preset of size nor the sweep may be that one."""
    shown = text(alice_client.get(f"{HERE}/new/{kind}/"))
    form = shown[shown.index('id="training-form"') :]
    first = form[form.index("<button") : form.index("</button>", form.index("<button"))]
    assert "formaction" not in first
    assert "name=" not in first
    assert first.endswith(">Start")


def test_the_size_that_the_form_stands_at_is_marked(alice_client: Client, tiny: Model, conversations: DatasetVersion) -> None:
    shown = text(alice_client.get(f"{HERE}/new/pretrain/"))
    marked = [
        part.partition("</button>")[0]
        for part in shown.split("<button")
        if 'name="apply"' in part and 'aria-pressed="true"' in part
    ]
    assert len(marked) == 1
    assert "Tiny" in marked[0]


def test_complaints_about_settings_are_in_the_readers_language(
    alice_client: Client, tiny: Model, conversations: DatasetVersion
) -> None:
    alice_client.cookies["shuyuan_language"] = "zh-hans"
    posted = {"datasets": conversations.pk, "base_model": tiny.pk, "name": "X", "advanced": "1", "held_out_fraction": "7"}
    answer = alice_client.post(f"{HERE}/new/sft/", posted)
    assert answer.status_code == 422
    assert "Input should be" not in text(answer)
    assert "0.5" in text(answer)

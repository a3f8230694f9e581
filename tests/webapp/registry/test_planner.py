"""«Will it fit?»: the planner's page, the planner beside the training form, recipes applied with one click (S8.7, S10.7)."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.webapp.registry.conftest import Run, dialogues, make_version
from tests.workers.models.tiny import write_model
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, State
from webapp.registry.models import Model, ModelKind
from webapp.registry.registering import register_model
from webapp.registry.training import planned_form, planning
from webapp.registry.training.left_open import passes_at_once
from workers.planner.cards import CARDS, GIB, Device
from workers.planner.plan import TrainingPlan
from workers.planner.shape import KNOWN
from workers.spec.record import Message, Record

pytestmark = pytest.mark.django_db
HERE = "/w/academy/training"
STRICT = (
    "{% if messages[0].role == 'assistant' %}{{ raise_exception('the user speaks first') }}{% endif %}"
    "{% for message in messages %}{{ message.role }}: {% generation %}{{ message.content }}{% endgeneration %}\n{% endfor %}"
)
"""A template that refuses some conversations."""


def text(response: Any) -> str:
    return str(response.content.decode())


def test_page_answers_for_own_machine_and_all_cards(alice_client: Client, workspace: Workspace, tiny: Model) -> None:
    shown = text(alice_client.get(f"{HERE}/planner/"))
    assert "RTX 2080" in shown
    assert "H200" in shown
    assert "memory-bar" in shown
    assert f'<option value="{tiny.pk}" selected>' in shown, "the newest own model is asked for first"
    assert all(name in shown for name in KNOWN)


def test_page_prescribes_a_recipe(alice_client: Client, workspace: Workspace) -> None:
    question = {"model": "known:Llama-2-7B", "method": "full", "sequence": "512", "tokens": "2048", "sent": "1"}
    shown = text(alice_client.get(f"{HERE}/planner/", question, headers={"HX-Request": "true"}))
    assert "<html" not in shown
    row = shown[shown.index("RTX 4090") : shown.index("V100 32G")]
    assert "does not fit" in row
    assert "LoRA" in row


def test_serving_counts_requests(alice_client: Client, workspace: Workspace) -> None:
    shown = text(alice_client.get(f"{HERE}/planner/", {"task": "serving", "model": "known:Llama-2-7B", "weight_bits": "4"}))
    row = shown[shown.index("RTX 4090") : shown.index("V100 32G")]
    assert "fits" in row
    assert int(re.findall(r'class="number">(\d+)<', row)[0]) >= 10


@pytest.mark.parametrize("query", ["model=999", "model=known:nothing", "sequence=-3", "tokens=x", "weight_bits=5&task=serving"])
def test_odd_questions_get_words_not_errors(alice_client: Client, workspace: Workspace, query: str) -> None:
    assert alice_client.get(f"{HERE}/planner/?{query}").status_code in {200, 404}


def test_strangers_get_nothing(charlie_client: Client, workspace: Workspace, tiny: Model) -> None:
    for address in ("planner/", f"planner/?model={tiny.pk}", "planner/panel/sft/"):
        assert charlie_client.get(f"{HERE}/{address}").status_code == 404
    assert charlie_client.post(f"{HERE}/planner/measure/").status_code == 404


def test_panel_follows_the_form(alice_client: Client, tiny: Model, conversations: DatasetVersion) -> None:
    chosen = {"datasets": conversations.pk, "base_model": tiny.pk, "method": "auto"}
    shown = text(alice_client.get(f"{HERE}/planner/panel/sft/", chosen))
    assert "verdict is-right" in shown
    assert "RTX 2080" in shown
    assert "moving data" in shown
    assert "memory-bar-limit" not in shown
    short = text(alice_client.get(f"{HERE}/planner/panel/sft/", {**chosen, "epochs": 1000, "time_budget_seconds": 0.001}))
    assert "memory-bar-limit" in short, "where a limit ends the run is marked on its time"
    assert "Choose a model" in text(alice_client.get(f"{HERE}/planner/panel/sft/"))
    assert alice_client.get(f"{HERE}/planner/panel/x/").status_code == 404


def test_pretraining_panel_reads_the_architecture(alice_client: Client, tiny: Model, unlabelled: DatasetVersion) -> None:
    chosen = {"datasets": unlabelled.pk, "tokenizer": tiny.pk, "architecture.hidden_size": 1024, "architecture.layers": 24}
    small = text(alice_client.get(f"{HERE}/planner/panel/pretrain/", {**chosen, "architecture.layers": 2}))
    large = text(alice_client.get(f"{HERE}/planner/panel/pretrain/", chosen))
    trained = [re.findall(r"<dd>([\d.]+ ?[KMB])</dd>", shown)[-1] for shown in (small, large)]
    assert trained[0] != trained[1]


def test_a_recipe_is_applied_to_the_form_and_starts_nothing(
    alice_client: Client, tiny: Model, conversations: DatasetVersion
) -> None:
    posted = {"datasets": conversations.pk, "base_model": tiny.pk, "name": "Kept", "method": "full", "advanced": "1"}
    answer = alice_client.post(f"{HERE}/new/sft/", {**posted, "apply": "method=lora&optimisation.micro_batch_tokens=64"})
    shown = text(answer)
    assert answer.status_code == 200
    assert not Job.objects.exists()
    assert '<option value="lora" selected>' in shown
    assert 'name="optimisation.micro_batch_tokens" value="64"' in shown
    assert 'value="Kept"' in shown


def test_recipe_for_a_small_device_is_offered_as_settings(
    alice: User, workspace: Workspace, tiny: Model, conversations: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Device("a small card", 4.0, 10, 100, own=True)
    monkeypatch.setattr(planning, "devices", lambda: [small, *CARDS.values()])
    monkeypatch.setattr(planning, "shape_of", lambda model: KNOWN["Qwen2.5-1.5B"])
    found = planned_form.panel(
        alice, workspace, "sft", {"datasets": str(conversations.pk), "base_model": str(tiny.pk), "method": "full"}
    )
    assert found["here"]["verdict"] == "no"
    assert "method=qlora" in found["here"]["recipe"]["apply"]
    assert found["here"]["recipe"]["total"] < 4 * GIB


def test_a_refused_record_does_not_silence_the_planner(
    alice_client: Client, alice: User, workspace: Workspace, tmp_path: Path
) -> None:
    """What the template refuses is told in a sentence, and the rest is planned with; when all is refused, only the sentence."""
    folder = write_model(tmp_path / "strict")
    (folder / "chat_template.jinja").write_text(STRICT, encoding="utf-8")
    model = register_model(workspace=workspace, name="Strict", kind=ModelKind.BASE, folder=folder, created_by=alice)
    good = dialogues(6)
    bad = [Record(id="bad", messages=[Message(role="assistant", content="Hello."), Message(role="user", content="Hm?")])]
    for name, records, answered in (("Mixed", [*bad, *good], True), ("Refused", bad, False)):
        version = make_version(alice, workspace, name, records)
        shown = text(alice_client.get(f"{HERE}/planner/panel/sft/", {"datasets": version.pk, "base_model": model.pk}))
        assert "refuses this conversation (the user speaks first)" in shown
        assert ("RTX 2080" in shown) is answered
        assert ("One of the first records is not counted" in shown) is answered


GIVEN = {"datasets": "1", "base_model": "1", "method": "full", "max_length": "512"}
MEDIUM = KNOWN["Qwen2.5-1.5B"]


def plan_on(device: Device, values: dict[str, str], kind: str = "sft") -> TrainingPlan:
    plan, left_open, _ = planned_form.planned(kind, GIVEN | values, MEDIUM, planned_form.Lengths([512] * 400, 4000))
    return planning.on_device(plan, device, MEDIUM, "bfloat16", left_open)


PROCESSOR = Device("a processor", 64.0, 0, 0, kind="cpu", own=True)


def test_the_form_tells_what_waits_in_the_hosts_memory() -> None:
    card = CARDS["A100 80G"]
    plan = plan_on(card, {"optimisation.offload_optimizer": "on", "optimisation.offload_activations": "on"})
    assert plan.paged
    assert plan.offload
    assert not plan_on(card, {}).paged


def test_the_form_tells_how_many_processes_share_a_sequence() -> None:
    size = {"optimisation.tokens_per_step": "8192", "optimisation.micro_batch_tokens": "512"}
    four = {**size, "parallel.processes": "4"}
    alone, apart, together = (plan_on(PROCESSOR, {**given}) for given in (size, four, {**four, "parallel.sequence": "4"}))
    assert (alone.tokens, alone.passes) == (512, 16)
    assert (apart.tokens, apart.passes, apart.devices) == (512, 4, 4)
    assert (together.tokens, together.passes, together.together) == (512, 4, 4), "a pass of 2048 tokens, a stretch each"
    longer = {"max_length": "2048", "parallel.processes": "4", "parallel.sequence": "4", "optimisation.micro_batch_tokens": "64"}
    lengths = planned_form.Lengths([2048] * 10, 100)
    plan, _, _ = planned_form.planned("sft", GIVEN | longer, MEDIUM, lengths)
    assert plan.tokens == 512
    assert plan_on(PROCESSOR, {**size, "parallel.processes": "3", "parallel.sequence": "2"}).together == 1


def test_what_is_left_open_follows_the_device() -> None:
    """As the trainer does: long passes on a roomy card, short ones where memory is scarce, and computing again where needed."""
    wide = {"optimisation.tokens_per_step": "16384"}
    roomy, narrow = CARDS["H200"], Device("a small card", 1.5, 10, 100)
    assert plan_on(PROCESSOR, wide).tokens == 2560
    assert plan_on(roomy, wide).tokens > 2 * plan_on(PROCESSOR, wide).tokens
    assert plan_on(narrow, wide).tokens < 1024
    assert not plan_on(roomy, wide).checkpointing
    assert plan_on(narrow, wide).checkpointing
    assert not plan_on(narrow, {**wide, "optimisation.gradient_checkpointing": "off"}).checkpointing
    assert plan_on(narrow, {**wide, "optimisation.micro_batch_tokens": "4096"}).tokens == 4096


def test_two_passes_at_once_where_the_trainer_makes_two() -> None:
    plan = TrainingPlan(method="lora", precision="bfloat16")
    assert passes_at_once(plan, MEDIUM, threads=2) == 2
    assert passes_at_once(plan, MEDIUM, threads=1) == 1
    others: list[dict[str, Any]] = [
        {"precision": "float32"},
        {"dropout": True},
        {"devices": 2},
        {"method": "full"},
        {"device": "cuda"},
    ]
    assert {passes_at_once(replace(plan, **other), MEDIUM, threads=2) for other in others} == {1}


def test_shorter_examples_are_the_fields_own_name() -> None:
    before = TrainingPlan(sequence=512)
    after = TrainingPlan(sequence=256)
    assert planned_form.settings_for(before, after, "pretrain") == {"sequence_length": "256"}
    assert planned_form.settings_for(before, after) == {"max_length": "256"}
    assert "qlora" not in planning.allowed_steps("reward"), "which has no such method"


def test_api_answers_like_the_page(alice_client: Client, charlie_client: Client, workspace: Workspace) -> None:
    address = "/api/v1/workspaces/academy/planner"
    question = {"model": "known:Llama-2-7B", "method": "qlora", "sequence": 512, "tokens": 512}
    cards = {row["device"]: row for row in alice_client.get(f"{address}/training", question).json()}
    assert cards["RTX 3060"]["verdict"] == "fits"
    assert cards["RTX 3060"]["total"] == pytest.approx(sum(cards["RTX 3060"]["parts"].values()))
    served = {row["device"]: row for row in alice_client.get(f"{address}/serving", {**question, "kv_bits": 8}).json()}
    assert served["A100 80G"]["requests"] > served["RTX 4090"]["requests"] > 0
    assert alice_client.get(f"{address}/training", {"model": "known:none"}).status_code == 404
    assert alice_client.get(f"{address}/training", {"rank": 0}).status_code == 422
    assert charlie_client.get(f"{address}/training").status_code == 404


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_machine_is_measured(alice: User, alice_client: Client, workspace: Workspace, run_job: Run) -> None:
    assert planning.measured_speed() is None
    answer = alice_client.post(f"{HERE}/planner/measure/")
    job = run_job(Job.objects.get())
    assert answer["Location"].endswith(f"/jobs/{job.pk}/")
    assert job.state == State.DONE, (job.error_template, job.error_params)
    speed = planning.measured_speed()
    assert speed is not None
    assert min(speed.float32, speed.bfloat16, speed.bandwidth) > 0
    assert "Measure this machine again" in text(alice_client.get(f"{HERE}/planner/"))

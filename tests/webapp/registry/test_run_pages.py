"""Run pages: axes, overlays, notes and tags, throughput, and the way on after running out of memory (S7.1, S7.2, S7.6, S8.7)."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.webapp.registry.conftest import make_version
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, JobEvent, MetricPoint, State
from webapp.registry.models import Model, RunNote
from webapp.registry.training import lighter, throughput
from workers.spec.record import Message, Record
from workers.spec.train import SftSpec

pytestmark = pytest.mark.django_db
HERE = "/w/academy"


def text(response: Any) -> str:
    return str(response.content.decode())


def make_run(workspace: Workspace, tiny: Model, version: DatasetVersion, *, name: str = "Run", **fields: Any) -> Job:
    spec = SftSpec(name=name, base_model=tiny.pk, datasets=[version.pk], **fields.pop("spec", {}))
    values = {"state": State.DONE, "kind": "sft", "spec_hash": spec.digest(), "started_at": timezone.now(), **fields}
    return Job.objects.create(workspace=workspace, name=name, spec=spec.model_dump(mode="json"), **values)


def finished(tokens_per_second: float, *, processes: int = 1, **more: Any) -> dict[str, Any]:
    resolved = {"processes": processes, "device": "cpu", "precision": "float32", "tokens_per_step": 512}
    return {"method": "full", "steps": 10, "tokens": 5120, "tokens_per_second": tokens_per_second, "resolved": resolved, **more}


@pytest.fixture
def run(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> Job:
    job = make_run(workspace, tiny, conversations, result=finished(1000.0))
    began = timezone.now()
    for step in range(1, 11):
        at = began + timedelta(seconds=2 * step)
        for name, value in (("loss", 3 / step), ("tokens_per_second", 1000.0), ("held_out_loss", 4 / step)):
            MetricPoint.objects.create(job=job, name=name, step=step, value=value, at=at)
    return job


@pytest.mark.parametrize(("axis", "last"), [("step", 10), ("tokens", 5120), ("time", 18), ("nonsense", 10)])
def test_curves_over_steps_tokens_or_time(alice_client: Client, run: Job, axis: str, last: float) -> None:
    figure = alice_client.get(f"{HERE}/training/runs/{run.pk}/figures/loss/?x={axis}").json()
    assert [trace["name"] for trace in figure["data"]] == ["loss", "held-out loss", "lowest: 0.4"]
    assert figure["data"][0]["x"][-1] == pytest.approx(last)


def test_several_runs_lie_over_each_other(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion, run: Job
) -> None:
    other = make_run(workspace, tiny, conversations, name="Other", spec={"seed": 7}, result=finished(900.0))
    MetricPoint.objects.create(job=other, name="loss", step=1, value=2.0, at=timezone.now())
    page = text(alice_client.get(f"{HERE}/jobs/{run.pk}/"))
    assert f'<option value="{other.pk}">' in page
    compared = text(alice_client.get(f"{HERE}/training/compare/?runs={run.pk}&runs={other.pk}"))
    assert "Seed" in compared
    figure = alice_client.get(f"{HERE}/training/compare/figures/loss/?runs={run.pk},{other.pk}&x=tokens").json()
    assert len(figure["data"]) == 3


def test_a_run_that_ended_before_its_first_step_has_no_charts(alice_client: Client, run: Job) -> None:
    address = f"{HERE}/jobs/{run.pk}/"
    assert "plot-host" in text(alice_client.get(address))
    MetricPoint.objects.filter(job=run).delete()
    Job.objects.filter(pk=run.pk).update(finished_at=None)
    assert "plot-host" in text(alice_client.get(address))
    Job.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    assert "plot-host" not in text(alice_client.get(address))


def test_equal_answers_in_a_row_stand_once(alice_client: Client, run: Job) -> None:
    for seq, answer in enumerate(["Hm.", "Yes.", "Yes.", "Yes."], start=1):
        data = {"name": "answer", "data": {"step": 5 * seq, "prompt": "Here?", "text": answer}}
        JobEvent.objects.create(job=run, seq=seq, type="sample", at=timezone.now(), data=data)
    shown = text(alice_client.get(f"{HERE}/training/runs/{run.pk}/examples/"))
    assert shown.count("Yes.") == 1
    assert shown.index("step 10 – 20") < shown.index("Yes.") < shown.index("step 5") < shown.index("Hm.")


def test_what_the_data_answer_stands_above_the_model_s(alice_client: Client, run: Job) -> None:
    data = {"name": "answer", "data": {"step": 5, "prompt": "Here?", "text": "Hm.", "expected": "Yes, <b>there</b>."}}
    JobEvent.objects.create(job=run, seq=1, type="sample", at=timezone.now(), data=data)
    shown = text(alice_client.get(f"{HERE}/training/runs/{run.pk}/examples/"))
    assert shown.index("in the data") < shown.index("Yes, &lt;b&gt;there&lt;/b&gt;.") < shown.index("Hm.")


def test_last_answers_stand_side_by_side(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion, run: Job
) -> None:
    other = make_run(workspace, tiny, conversations, name="Other", result=finished(900.0))
    said = [
        (run, 1, "Where?", "old"),
        (run, 2, "Where?", "<i>Here</i>"),
        (run, 3, "Alone?", "Yes."),
        (other, 1, "Where?", "There."),
    ]
    for job, seq, prompt, answer in said:
        data = {"name": "answer", "data": {"step": 5 * seq, "prompt": prompt, "text": answer}}
        JobEvent.objects.create(job=job, seq=seq, type="sample", at=timezone.now(), data=data)
    page = text(alice_client.get(f"{HERE}/training/compare/?runs={run.pk}&runs={other.pk}"))
    beside = page[page.index('id="beside"') :]
    assert beside.index("Where?") < beside.index("&lt;i&gt;Here") < beside.index("There.") < beside.index("Alone?")
    assert "old" not in beside
    assert "step 10" in beside


def test_memory_is_shown_predicted_beside_measured(alice_client: Client, run: Job) -> None:
    parts = {"weights": 100_000, "gradients": 100_000, "optimizer": 200_000, "activations": 409_600, "peak": 500_000_000}
    JobEvent.objects.create(job=run, seq=1, type="sample", at=timezone.now(), data={"name": "memory", "data": {"parts": parts}})
    page = text(alice_client.get(f"{HERE}/jobs/{run.pk}/"))
    table = page[page.index('id="memory"') :]
    assert table.index("predicted") < table.index("measured") < table.index("peak")
    assert "400" in table


def test_notes_and_tags(alice_client: Client, charlie_client: Client, run: Job) -> None:
    address = f"{HERE}/training/runs/{run.pk}/note/"
    assert charlie_client.post(address, {"text": "x"}).status_code == 404
    assert alice_client.post(address, {"text": "Good one.", "tags": "Baseline, fast baseline"}).status_code == 302
    note = RunNote.objects.get()
    assert (note.text, note.words) == ("Good one.", ["baseline", "fast"])
    assert "Good one." in text(alice_client.get(f"{HERE}/jobs/{run.pk}/"))
    assert run.name in text(alice_client.get(f"{HERE}/training/?tag=baseline"))
    assert f'value="{run.pk}"' not in text(alice_client.get(f"{HERE}/training/?tag=base"))
    assert alice_client.post(address, {"tags": " ".join(f"t{number}" for number in range(20))}).status_code == 422


def test_scaling_efficiency_from_own_runs(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    """S7.1: two processes at 1,800 tokens a second where one makes 1,000: 90 %."""
    assert "No finished run yet" in text(alice_client.get(f"{HERE}/training/throughput/"))
    make_run(workspace, tiny, conversations, name="One", result=finished(1000.0))
    make_run(workspace, tiny, conversations, name="Two", result=finished(1800.0, processes=2))
    groups = throughput.efficiencies(throughput.paces(workspace))
    assert list(groups.values()) == [[(1, 1.0), (2, pytest.approx(0.9))]]
    assert "Two" in text(alice_client.get(f"{HERE}/training/throughput/"))
    for name in ("speed", "scaling"):
        assert alice_client.get(f"{HERE}/training/throughput/figures/{name}/").json()["data"]
    assert alice_client.get(f"{HERE}/training/throughput/figures/x/").status_code == 404


@pytest.mark.parametrize(
    ("code", "params"),
    [
        ("job.out_of_memory", {}),
        ("job.killed", {"signal": "SIGKILL", "times": 8}),
        ("job.crashed", {"kind": "OutOfMemoryError", "detail": "CUDA out of memory. Tried to allocate 2 GiB"}),
    ],
)
def test_out_of_memory_offers_the_next_recipe_down(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion, code: str, params: dict[str, Any]
) -> None:
    spec = {"method": "full", "max_length": 64, "optimisation": {"tokens_per_step": 4096}}
    job = make_run(
        workspace, tiny, conversations, name="Large", spec=spec, state=State.FAILED,
        error_code=code, error_template="It failed.", error_params=params,
    )  # fmt: skip
    page = text(alice_client.get(f"{HERE}/jobs/{job.pk}/"))
    assert "The memory was not enough" in page
    seen_live = text(alice_client.get(f"{HERE}/training/runs/{job.pk}/advice/"))
    assert "Start with this recipe" in seen_live, "who watched it happen gets the offer without loading the page again"
    answer = alice_client.post(f"{HERE}/training/runs/{job.pk}/lighter/")
    again = Job.objects.exclude(pk=job.pk).get()
    assert answer["Location"].endswith(f"/jobs/{again.pk}/")
    assert again.spec["optimisation"]["gradient_checkpointing"] == "on"
    assert again.spec["name"] != job.spec["name"] or again.spec != job.spec
    alice_client.post(f"{HERE}/training/runs/{job.pk}/lighter/")
    assert Job.objects.count() == 2, "the button pressed twice starts one run"


def test_other_failures_get_no_recipe(
    alice: User, alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    job = make_run(workspace, tiny, conversations, state=State.FAILED, error_code="train.loss_not_finite", error_template="NaN.")
    assert "The memory was not enough" not in text(alice_client.get(f"{HERE}/jobs/{job.pk}/"))
    with pytest.raises(UserError, match="no lighter recipe"):
        lighter.start_lighter(user=alice, job_id=job.pk)


def test_an_earlier_run_fills_the_form(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    spec = {"method": "lora", "lora": {"rank": 5}, "optimisation": {"learning_rate": 0.002}, "sample_prompts": ["Hello?"]}
    job = make_run(workspace, tiny, conversations, name="Again", spec=spec)
    assert f"new/sft/?from={job.pk}" in text(alice_client.get(f"{HERE}/jobs/{job.pk}/"))
    shown = text(alice_client.get(f"{HERE}/training/new/sft/?from={job.pk}"))
    assert 'name="lora.rank" value="5"' in shown
    assert 'name="optimisation.learning_rate" value="0.002"' in shown
    assert "Hello?" in shown
    assert '<option value="lora" selected>' in shown
    assert alice_client.get(f"{HERE}/training/new/pretrain/?from={job.pk}").status_code == 404


def test_the_api_of_runs_and_sweeps(
    alice_client: Client, charlie_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    job = make_run(workspace, tiny, conversations, name="One", result=finished(1000.0))
    body = {"text": "Good.", "tags": ["a", "b"]}
    address = f"/api/v1/training/runs/{job.pk}/note"
    assert charlie_client.put(address, body, "application/json").status_code == 404
    assert alice_client.put(address, body, "application/json").json()["tags"] == ["a", "b"]
    speeds = alice_client.get("/api/v1/workspaces/academy/training/throughput").json()
    assert speeds["runs"][0]["tokens_per_second"] == 1000.0
    settings = {"name": "Try", "base_model": tiny.pk, "datasets": [conversations.pk]}
    sweep = alice_client.post(
        "/api/v1/workspaces/academy/training/sft/sweeps", {"settings": settings, "axes": {"seed": "1, 2, 3"}}, "application/json"
    )
    assert sweep.status_code == 202, sweep.content
    number = sweep.json()["id"]
    assert [item["id"] for item in alice_client.get("/api/v1/workspaces/academy/sweeps").json()["items"]] == [number]
    assert len(alice_client.get(f"/api/v1/sweeps/{number}").json()["runs"]) == 3
    assert charlie_client.get(f"/api/v1/sweeps/{number}").status_code == 404
    cancelled = alice_client.post(f"/api/v1/sweeps/{number}/cancel").json()
    assert {run["state"] for run in cancelled["runs"]} == {"cancelled"}
    assert alice_client.post(f"/api/v1/training/runs/{job.pk}/lighter").status_code == 409


def test_tool_calls_are_counted_before_the_start(alice: User, workspace: Workspace, alice_client: Client, tiny: Model) -> None:
    """S8.2: fine-tuning on tool calls is seen before it starts."""
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
    turns = [Message(role="user", content="Rain in Rome?"), Message(role="assistant", content="", tool_calls=[call])]
    version = make_version(alice, workspace, "Tools", [Record(id="t", messages=turns)])
    shown = text(alice_client.get(f"{HERE}/training/check/sft/", {"datasets": version.pk, "base_model": tiny.pk}))
    assert "One of them calls tools" in shown
    assert "get_weather" in shown


def test_reinforcement_is_told_by_its_reward(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    """Its loss is about zero whatever it learns: neither list, chart nor figures may offer that as an outcome."""
    result = finished(900.0, held_out_loss=0.0, first_held_out_loss=0.0, final_loss=0.0, best_step=0, held_out_reward=0.875)
    job = make_run(workspace, tiny, conversations, name="Rewarded", kind="grpo", result=result)
    for name in ("loss", "held_out_loss", "reward", "held_out_reward"):
        value = 0.875 if name.endswith("reward") else 0.0
        for step in range(4):
            MetricPoint.objects.create(job=job, name=name, step=step, value=value, at=timezone.now())
    listed = text(alice_client.get(f"{HERE}/training/"))
    assert "0.875" in listed
    assert "0.000" not in listed
    shown = text(alice_client.get(f"{HERE}/jobs/{job.pk}/"))
    assert "Held-out reward" in shown
    assert "Held-out loss" not in shown
    figure = alice_client.get(f"{HERE}/training/runs/{job.pk}/figures/loss/").json()
    assert [trace["name"] for trace in figure["data"]] == ["loss"]


@pytest.mark.parametrize("kind", ["sft", "preference", "grpo"])
def test_no_figure_shows_its_code(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion, kind: str
) -> None:
    names = ("accuracy", "margin") if kind == "preference" else ("reward",) if kind == "grpo" else ()
    more = {f"held_out_{name}": 0.5 for name in names}
    job = make_run(workspace, tiny, conversations, kind=kind, result=finished(900.0, held_out_loss=1.0, **more))
    shown = text(alice_client.get(f"{HERE}/jobs/{job.pk}/"))
    facts = shown[shown.index('id="figures"') : shown.index("</dl>", shown.index('id="figures"'))]
    assert "_" not in facts


def test_shares_are_drawn_in_percent(alice_client: Client, run: Job) -> None:
    figure = alice_client.get(f"{HERE}/training/runs/{run.pk}/figures/mfu/").json()
    assert figure["layout"]["yaxis"]["tickformat"].endswith("%")


def test_a_paused_run_tells_how_far_it_got(alice_client: Client, run: Job) -> None:
    run.state, run.progress_done, run.progress_total = State.PAUSED, 3, 12
    run.save()
    shown = text(alice_client.get(f"{HERE}/jobs/{run.pk}/"))
    assert "Got this far" in shown
    assert "25 %" in shown


def test_efficiency_has_no_marks_between_processes(
    alice_client: Client, workspace: Workspace, tiny: Model, conversations: DatasetVersion
) -> None:
    for processes, speed in ((1, 1000.0), (2, 1700.0)):
        make_run(workspace, tiny, conversations, name=f"P{processes}", result=finished(speed, processes=processes))
    figure = alice_client.get(f"{HERE}/training/throughput/figures/scaling/").json()
    assert figure["layout"]["xaxis"]["tickvals"] == [1, 2]


def test_an_ended_run_shows_no_empty_charts(alice_client: Client, run: Job) -> None:
    run.finished_at = timezone.now()
    run.save()
    shown = text(alice_client.get(f"{HERE}/jobs/{run.pk}/"))
    assert f"/runs/{run.pk}/figures/tokens_per_second/" in shown
    assert f"/runs/{run.pk}/figures/grad_norm/" not in shown

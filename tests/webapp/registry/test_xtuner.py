"""A run's settings go to XTuner as a Python config, and what is written is read again as the same settings."""

import ast
from typing import Any

import pytest
from django.test import Client

from tests.webapp.registry.test_run_pages import finished, make_run
from webapp.accounts.models import Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job, State
from webapp.registry.models import Model
from webapp.registry.training.recipe_files import nested, read_recipe
from webapp.registry.training.services import spec_class
from webapp.registry.training.spec_fields import flattened
from webapp.registry.training.xtuner_writing import xtuner_file

pytestmark = pytest.mark.django_db
HERE = "/w/academy/training"
LEARNING = {
    "optimisation.learning_rate": 3e-4,
    "optimisation.warmup_fraction": 0.1,
    "optimisation.weight_decay": 0.01,
    "optimisation.clip_norm": 0.5,
    "optimisation.precision": "bfloat16",
    "optimisation.schedule": "linear",
    "optimisation.optimizer": "adamw_8bit",
    "optimisation.gradient_checkpointing": "on",
    "epochs": 2.5,
    "saving.every_steps": 40,
    "saving.keep": 3,
    "saving.evaluate_every_steps": 20,
    "seed": 7,
    "sample_prompts": ["去\u201c上海\u201d?", 'It\'s \\ here\n"now"'],
    "system_prompt": "Be kind.",
    "max_length": 256,
}
LORA = {"method": "qlora", "lora.rank": 4, "lora.alpha": 12.0, "lora.dropout": 0.1, "lora.targets": ["q_proj", "v_proj"]}
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("sft", {**LEARNING, **LORA, "lora.variant": "dora", "optimisation.tokens_per_step": 1024}),
    ("sft", {**LEARNING, "method": "full", "optimisation.schedule": "cosine", "optimisation.optimizer": "adafactor"}),
    ("sft", {"method": "lora", "lora.alpha": 8.0, "lora.variant": "pissa", "optimisation.precision": "float32"}),
    ("preference", {**LEARNING, **LORA, "lora.variant": "rslora", "loss": "dpo", "beta": 0.3, "label_smoothing": 0.1,
                    "optimisation.tokens_per_step": 4096, "optimisation.micro_batch_tokens": 1024}),
    ("preference", {**LEARNING, "method": "full", "loss": "orpo", "beta": 0.2, "optimisation.schedule": "constant",
                    "optimisation.warmup_fraction": 0.0}),
    ("pretrain", {"sequence_length": 128, "epochs": 1.0, "optimisation.tokens_per_step": 512, "optimisation.compile": "on",
                  "optimisation.learning_rate": 1e-3, "optimisation.precision": "bfloat16"}),
]  # fmt: skip


def run_of(workspace: Workspace, model: Model, version: DatasetVersion, kind: str, given: dict[str, Any]) -> Job:
    spec = spec_class(kind).model_validate({**nested(given), "name": "My run", "base_model": model.pk, "datasets": [version.pk]})
    values = {"state": State.DONE, "kind": kind, "spec_hash": spec.digest(), "name": "My run"}
    return Job.objects.create(workspace=workspace, spec=spec.model_dump(mode="json"), **values)


@pytest.mark.parametrize(("kind", "given"), RUNS, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(RUNS)])
def test_what_is_written_is_read_as_the_same_settings(
    workspace: Workspace, tiny: Model, conversations: DatasetVersion, kind: str, given: dict[str, Any]
) -> None:
    job = run_of(workspace, tiny, conversations, kind, given)
    written = xtuner_file(job)
    recipe = read_recipe(written)
    assert (recipe.program, recipe.kind, recipe.model) == ("XTuner", kind, "Tiny")
    assert recipe.datasets == ["Conversations"]
    assert recipe.settings["name"] == "My run"
    assert given.items() <= recipe.settings.items(), {key: recipe.settings.get(key) for key in given}
    asked, again = (
        flattened(spec_class(kind).model_validate({**nested(values), **inputs}).model_dump(mode="json"))
        for values, inputs in ((given, {"name": "My run", "base_model": 1, "datasets": [1]}),
                               (recipe.settings, {"base_model": 1, "datasets": [1]}))
    )  # fmt: skip
    told = {path for path, value in again.items() if asked[path] is not None and asked[path] != value}
    assert not told, "nothing that was set may change"
    notes = "\n".join(recipe.told())
    assert "has no counterpart" not in notes, notes


@pytest.mark.parametrize(("kind", "given"), RUNS, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(RUNS)])
def test_every_name_in_the_file_is_known_there(
    workspace: Workspace, tiny: Model, conversations: DatasetVersion, kind: str, given: dict[str, Any]
) -> None:
    """It is one Python file: what the calls use was imported or assigned before, and nothing is imported in vain."""
    tree = ast.parse(xtuner_file(run_of(workspace, tiny, conversations, kind, given)))
    known, used = {"dict"}, set()
    for statement in tree.body:
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert names <= known
        used |= names
        if isinstance(statement, ast.Import | ast.ImportFrom):
            known |= {item.name for item in statement.names}
        else:
            assert isinstance(statement, ast.Assign)
            known |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    imported = {item.name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for item in node.names}
    assert imported <= used


def test_what_xtuner_does_not_have_is_told_at_the_top(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> None:
    settings = {
        "held_out_fraction": 0.2,
        "saving": {"early_stop": 3},
        "parallel": {"processes": 2, "shard": "zero3", "sequence": 2},
    }
    job = make_run(workspace, tiny, conversations, spec={**settings, "instruction": "Sort\nimport os"})
    comment = [line for line in xtuner_file(job).splitlines() if line.startswith("#")]
    told = "\n".join(comment)
    for line in (
        "- held_out_fraction: 0.2",
        "- saving.early_stop: 3",
        "- parallel.processes: 2",
        "- instruction: Sort, import os",
    ):
        assert f"# {line}" in told
    assert "--deepspeed deepspeed_zero2 or deepspeed_zero3" in told
    assert "lr was left open" in told
    assert "max_length" not in told


def test_a_name_stays_below_the_folder_of_runs(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> None:
    job = make_run(workspace, tiny, conversations, name="../../a'b")
    assert 'work_dir = "./work_dirs/-..-a\'b"' in xtuner_file(job)
    assert read_recipe(xtuner_file(job)).settings["name"] == "-..-a'b"


def test_a_run_without_warm_up_has_no_stretch_for_it(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> None:
    spec = {"optimisation": {"warmup_fraction": 0.0, "schedule": "cosine"}}
    written = xtuner_file(make_run(workspace, tiny, conversations, spec=spec))
    assert "LinearLR" not in written
    assert read_recipe(written).settings["optimisation.schedule"] == "cosine"


def test_a_step_that_cannot_be_had_is_told(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> None:
    spec = {"max_length": 256, "optimisation": {"tokens_per_step": 600}}
    job = make_run(workspace, tiny, conversations, spec=spec)
    assert "A step has 512 tokens here; it had 600." in xtuner_file(job)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("preference", {"loss": "kto"}), ("preference", {"loss": "simpo"}), ("reward", {}), ("grpo", {}),
     ("pretrain", {"architecture": {"hidden_size": 32}})],
)  # fmt: skip
def test_runs_that_xtuner_does_not_have_are_refused_in_a_sentence(
    workspace: Workspace, tiny: Model, conversations: DatasetVersion, kind: str, given: dict[str, Any]
) -> None:
    job = run_of(workspace, tiny, conversations, kind, given)
    if kind == "pretrain":
        job.spec = {**job.spec, "base_model": None}
    with pytest.raises(UserError, match="XTuner has no such kind of run"):
        xtuner_file(job)


def test_the_page_and_the_api_have_the_file(
    alice_client: Client, charlie_client: Client, tiny: Model, conversations: DatasetVersion, workspace: Workspace
) -> None:
    job = make_run(workspace, tiny, conversations, result=finished(100.0), spec={"seed": 7})
    address = f"{HERE}/runs/{job.pk}/recipe/xtuner/"
    assert f'href="{address}"' in alice_client.get(f"/w/academy/jobs/{job.pk}/").content.decode()
    response = alice_client.get(address)
    assert response["Content-Disposition"] == f'attachment; filename="run-{job.pk}.py"'
    assert read_recipe(response.content.decode()).settings["seed"] == 7
    assert alice_client.get(f"/api/v1/training/runs/{job.pk}/recipe?program=xtuner").content == response.content
    assert charlie_client.get(address).status_code == 404
    assert charlie_client.get(f"/api/v1/training/runs/{job.pk}/recipe?program=xtuner").status_code == 404
    other = run_of(workspace, tiny, conversations, "reward", {})
    assert "recipe/xtuner" not in alice_client.get(f"/w/academy/jobs/{other.pk}/").content.decode()
    assert alice_client.get(f"{HERE}/runs/{other.pk}/recipe/xtuner/").status_code == 302
    refused = alice_client.get(f"/api/v1/training/runs/{other.pk}/recipe?program=xtuner")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "recipe.no_xtuner_counterpart")

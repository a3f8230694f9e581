"""Settings come from files of LLaMA-Factory and XTuner, and go to LLaMA-Factory; nothing in a file is run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.webapp.registry.test_run_pages import finished, make_run
from webapp.accounts.models import Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.registry.models import Model
from webapp.registry.training.recipe_files import LARGEST, read_recipe
from webapp.registry.training.recipe_sharing import llamafactory_file

pytestmark = pytest.mark.django_db
HERE = "/w/academy/training"
LLAMA_FACTORY = """
### model
model_name_or_path: someone/Tiny
trust_remote_code: true
quantization_bit: 4
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: q_proj,v_proj
use_dora: true
### dataset
dataset: Conversations,identity
template: llama3
cutoff_len: 128
overwrite_cache: true
preprocessing_num_workers: 16
### output
output_dir: saves/llama3-8b/lora/my-run
logging_steps: 10
### train
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1e-4
num_train_epochs: 3.0
lr_scheduler_type: linear
warmup_ratio: 0.1
bf16: true
neftune_noise_alpha: 5
val_size: 0.1
"""
XTUNER = """
from xtuner.engine.hooks import EvaluateChatHook
import os
os.system("touch {mark}")
pretrained_model_name_or_path = 'Tiny'
data_path = 'Conversations'
prompt_template = PROMPT_TEMPLATE.internlm2_chat
max_length = 128
pack_to_max_length = True
batch_size = 1
accumulative_counts = 16
max_epochs = 3
optim_type = AdamW
lr = 2e-4
betas = (0.9, 0.999)
max_norm = 1
warmup_ratio = 0.03
save_steps = 500
evaluation_inputs = ['请给我介绍五个上海的景点', 'Tell me about Shanghai']
model = dict(
    llm=dict(quantization_config=dict(type=BitsAndBytesConfig, load_in_4bit=True)),
    lora=dict(type=LoraConfig, r=64, lora_alpha=16, lora_dropout=0.1, bias='none'))
"""


def text(response: Any) -> str:
    return str(response.content.decode())


def test_a_llamafactory_file_becomes_settings_with_what_is_different() -> None:
    recipe = read_recipe(LLAMA_FACTORY)
    assert (recipe.kind, recipe.program, recipe.model) == ("sft", "LLaMA-Factory", "someone/Tiny")
    assert recipe.datasets == ["Conversations", "identity"]
    assert recipe.settings == {
        "name": "my-run",
        "method": "qlora",
        "lora.rank": 8,
        "lora.variant": "dora",
        "lora.targets": ["q_proj", "v_proj"],
        "max_length": 128,
        "optimisation.learning_rate": 1e-4,
        "optimisation.warmup_fraction": 0.1,
        "optimisation.schedule": "linear",
        "optimisation.precision": "bfloat16",
        "epochs": 3.0,
        "held_out_fraction": 0.1,
    }
    told = "\n".join(recipe.told())
    assert "neftune_noise_alpha: 5" in told
    assert "trust_remote_code" in told
    assert "“llama3”" in told
    assert "16 examples a step" in told
    assert "logging_steps" not in told


@pytest.mark.parametrize(
    ("lines", "kind", "wanted"),
    [
        (
            "stage: dpo\npref_loss: simpo\npref_beta: 2.5\nsimpo_gamma: 0.5",
            "preference",
            {"loss": "simpo", "beta": 2.5, "margin": 0.5},
        ),
        ("stage: kto\nkto_chosen_weight: 2", "preference", {"loss": "kto", "desirable_weight": 2.0}),
        ("stage: rm\nfinetuning_type: lora", "reward", {"method": "lora"}),
        (
            "stage: pt\nfinetuning_type: full\ncutoff_len: 256\nper_device_train_batch_size: 4\ndeepspeed: ds_z3_config.json",
            "pretrain",
            {"sequence_length": 256, "optimisation.tokens_per_step": 1024, "parallel.shard": "zero3"},
        ),
    ],
)  # fmt: skip
def test_every_stage_has_its_kind(lines: str, kind: str, wanted: dict[str, Any]) -> None:
    recipe = read_recipe(lines)
    assert recipe.kind == kind
    assert wanted.items() <= recipe.settings.items()


def test_an_xtuner_config_is_read_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    recipe = read_recipe(XTUNER.replace("{mark}", str(mark)))
    assert not mark.exists()
    assert (recipe.kind, recipe.program, recipe.model) == ("sft", "XTuner", "Tiny")
    assert recipe.settings["method"] == "qlora"
    assert (recipe.settings["lora.rank"], recipe.settings["lora.alpha"], recipe.settings["lora.dropout"]) == (64, 16.0, 0.1)
    assert recipe.settings["optimisation.tokens_per_step"] == 16 * 128
    assert recipe.settings["optimisation.learning_rate"] == 2e-4
    assert recipe.settings["sample_prompts"][0].startswith("请给我")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "just words",
        "- a\n- list",
        '{"zero_optimization": 3}',
        "a: &a [1]\nstage: *a",
        "stage: !!python/object/apply:os.system ['touch x']",
        "[" * 5000,
        "(" * 5000,
        "stage: sft\n" + "x" * LARGEST,
        "stage: ppo",
        "x = 1",
    ],
)
def test_other_files_are_refused_in_one_sentence(bad: str) -> None:
    with pytest.raises(UserError) as told:
        read_recipe(bad)
    assert told.value.code.startswith("recipe.")


def test_odd_values_are_left_out_and_named() -> None:
    recipe = read_recipe(
        "stage: sft\nlearning_rate: .nan\nlora_rank: [1, 2]\nnum_train_epochs: lots\nseed: true\nval_size: 100\n"
        "finetuning_type: freeze\noptim: lion\n1: 2\ncutoff_len: 1e999"
    )
    assert not {"optimisation.learning_rate", "lora.rank", "epochs", "seed", "held_out_fraction"} & set(recipe.settings)
    told = "\n".join(recipe.told())
    assert all(name in told for name in ("learning_rate", "lora_rank", "lots", "seed", "val_size", "freeze", "lion", "1: 2"))


def test_the_launch_page_is_filled_in_and_nothing_starts(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, workspace: Workspace
) -> None:
    file = SimpleUploadedFile("run.yaml", LLAMA_FACTORY.encode())
    response = alice_client.post(f"{HERE}/new/preference/recipe/", {"recipe": file})
    shown = text(response)
    assert response.status_code == 200
    assert f'action="{HERE}/new/sft/"' in shown, "the file decides the kind"
    assert 'value="my-run"' in shown
    assert f'<option value="{conversations.pk}" selected>' in shown
    assert 'name="lora.rank" value="8"' in shown.replace('id="lora.rank" ', "") or 'value="8"' in shown
    assert "no dataset “identity” here" in shown
    assert "no dataset “Conversations”" not in shown
    assert "no model" not in shown
    assert not Job.objects.exists()
    form = text(alice_client.post(f"{HERE}/new/sft/recipe/", {"text": "nothing"}))
    assert "neither a LLaMA-Factory file" in form


def test_the_api_reads_a_recipe_that_it_then_takes(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, workspace: Workspace
) -> None:
    content = "application/json"
    read = alice_client.post(
        "/api/v1/workspaces/academy/training/recipes/read", {"text": LLAMA_FACTORY}, content_type=content
    ).json()
    assert read["settings"]["base_model"] == tiny.pk
    made = alice_client.post(f"/api/v1/workspaces/academy/training/{read['kind']}", read["settings"], content_type=content)
    assert made.status_code == 202, made.content
    assert made.json()["spec"]["lora"] == {
        "rank": 8, "alpha": None, "dropout": 0.0, "targets": ["q_proj", "v_proj"], "variant": "dora"
    }  # fmt: skip


def test_a_run_is_written_for_llamafactory_and_read_again(
    alice_client: Client, charlie_client: Client, tiny: Model, conversations: DatasetVersion, workspace: Workspace
) -> None:
    result = finished(100.0)
    result["method"] = "lora"
    result["resolved"] |= {"learning_rate": 3e-4, "micro_batch_tokens": 256, "max_length": 128, "epochs": 2.0}
    spec = {"lora": {"rank": 4, "variant": "rslora"}, "seed": 7}
    job = make_run(workspace, tiny, conversations, result=result, spec=spec)
    response = alice_client.get(f"{HERE}/runs/{job.pk}/recipe/")
    values = yaml.safe_load(text(response))
    assert (values["stage"], values["finetuning_type"], values["lora_rank"], values["use_rslora"]) == ("sft", "lora", 4, True)
    assert (values["per_device_train_batch_size"], values["gradient_accumulation_steps"]) == (2, 2)
    assert values["dataset"] == "Conversations"
    recipe = read_recipe(text(response))
    assert recipe.settings["optimisation.learning_rate"] == 3e-4
    assert recipe.settings["optimisation.tokens_per_step"] == 512
    assert (recipe.settings["lora.variant"], recipe.settings["seed"], recipe.settings["epochs"]) == ("rslora", 7, 2.0)
    assert not recipe.notes, recipe.told()
    assert f"runs/{job.pk}/recipe/" in text(alice_client.get(f"/w/academy/jobs/{job.pk}/"))
    assert alice_client.get(f"/api/v1/training/runs/{job.pk}/recipe").content == response.content
    assert charlie_client.get(f"{HERE}/runs/{job.pk}/recipe/").status_code == 404
    assert charlie_client.get(f"/api/v1/training/runs/{job.pk}/recipe").status_code == 404
    body = {"text": "stage: sft"}
    url = "/api/v1/workspaces/academy/training/recipes/read"
    assert charlie_client.post(url, body, content_type="application/json").status_code == 404


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ds_z0_config.json", {"parallel.shard": "none"}),
        ("examples/deepspeed/ds_z2_config.json", {"parallel.shard": "zero2"}),
        ("examples/deepspeed/ds_z3_config.json", {"parallel.shard": "zero3"}),
        ("ds_z3_offload_config.json", {"parallel.shard": "zero3", "optimisation.offload_optimizer": "on"}),
        ("deepspeed_zero1", {"parallel.shard": "zero2"}),
        ("{zero_optimization: {stage: 3}, bf16: {enabled: true}}",
         {"parallel.shard": "zero3", "optimisation.precision": "bfloat16"}),
    ],
)  # fmt: skip
def test_deepspeed_in_a_yaml_becomes_our_sharing(name: str, wanted: dict[str, Any]) -> None:
    recipe = read_recipe(f"stage: sft\ndeepspeed: {name}")
    assert wanted.items() <= recipe.settings.items()
    shares = wanted["parallel.shard"] != "none"
    assert ("FSDP2" in "\n".join(recipe.told())) == shares
    assert ("number of your GPUs" in "\n".join(recipe.told())) == shares


@pytest.mark.parametrize(("line", "told"), [("quantization_bit: 4", "weights in 4 bits"), ("optim: adafactor", "adamw only")])
def test_what_cannot_be_shared_out_here_is_told(line: str, told: str) -> None:
    recipe = read_recipe(f"stage: sft\ndeepspeed: ds_z3_config.json\n{line}")
    assert "parallel.shard" not in recipe.settings
    assert told in "\n".join(recipe.told())


DEEPSPEED = """{"train_batch_size": "auto", "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 2,
"gradient_clipping": 0.5, "bf16": {"enabled": true}, "fp16": {"enabled": "auto"}, "steps_per_print": 10, "sparse_attention": 1,
"optimizer": {"type": "AdamW", "params": {"lr": 2e-5, "weight_decay": "auto"}},
"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "nvme"},
"overlap_comm": true}}"""


def test_a_deepspeed_config_fills_the_form_it_is_given_to(
    alice_client: Client, charlie_client: Client, tiny: Model, conversations: DatasetVersion, workspace: Workspace
) -> None:
    recipe = read_recipe(DEEPSPEED, "pretrain")
    assert (recipe.program, recipe.kind) == ("DeepSpeed", "pretrain")
    assert recipe.settings == {
        "parallel.shard": "zero3",
        "optimisation.offload_optimizer": "on",
        "optimisation.precision": "bfloat16",
        "optimisation.clip_norm": 0.5,
        "optimisation.learning_rate": 2e-5,
    }
    told = "\n".join(recipe.told())
    for part in ("8 examples a step", "offload_param: nvme", "sparse_attention: 1", "FSDP2"):
        assert part in told
    for part in ("steps_per_print", "overlap_comm", "fp16"):
        assert part not in told
    shown = text(alice_client.post(f"{HERE}/new/preference/recipe/", {"text": DEEPSPEED}))
    assert f'action="{HERE}/new/preference/"' in shown
    assert "Filled in from a file for DeepSpeed" in shown
    assert '<option value="zero3" selected>' in shown
    body = {"text": DEEPSPEED, "kind": "reward"}
    url = "/api/v1/workspaces/academy/training/recipes/read"
    read = alice_client.post(url, body, content_type="application/json").json()
    assert (read["kind"], read["settings"]["parallel"]) == ("reward", {"shard": "zero3"})
    assert charlie_client.post(url, body, content_type="application/json").status_code == 404


@pytest.mark.parametrize(
    "config",
    [
        '{"zero_optimization": {"stage": "x"}, "bf16": 1}',
        '{"zero_optimization": {"stage": 1e999, "offload_optimizer": []}, "optimizer": "no"}',
        '{"zero_optimization": {"stage": 7, "offload_optimizer": {"device": []}}}',
    ],
)
def test_odd_values_of_deepspeed_are_left_out_and_named(config: str) -> None:
    recipe = read_recipe(config)
    assert not recipe.settings
    assert "zero_optimization.stage" in "\n".join(recipe.told())


def test_sharing_out_goes_to_llamafactory_and_back(workspace: Workspace, tiny: Model, conversations: DatasetVersion) -> None:
    settings = {
        "parallel": {"processes": 2, "shard": "zero2"},
        "saving": {"early_stop": 3, "keep_best": True},
        "instruction": "a: b\nc",
    }
    written = llamafactory_file(make_run(workspace, tiny, conversations, spec=settings))
    assert read_recipe(written).settings["parallel.shard"] == "zero2"
    assert read_recipe(written).settings["saving.keep_best"] is True
    comment = [line for line in written.splitlines() if line.startswith("#")]
    for line in ("# - saving.early_stop: 3", "# - parallel.processes: 2", "# - instruction: a: b, c"):
        assert line in comment

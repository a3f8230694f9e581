"""Recipes of other programs on the launch page, and a run's settings as a file for LLaMA-Factory (XTuner: `xtuner_writing`)."""

from collections.abc import Mapping
from typing import Any

import yaml

from webapp.accounts.models import Workspace
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.jobs.models import Job
from webapp.registry.models import Model, ModelKind
from webapp.registry.queries import ready_models
from webapp.registry.services import TRAINABLE
from webapp.registry.training.recipe_files import (
    NO_DATASET,
    NO_MODEL,
    NUMBERS,
    ONE_DATASET,
    RecipeFile,
    nested,
    short,
)
from webapp.registry.training.runs import WRITTEN_FOR_OTHERS, settings_of
from webapp.registry.training.services import spec_class
from webapp.registry.training.spec_fields import flattened, form_groups, text_of

LOSSES = {"dpo": "sigmoid", "orpo": "orpo", "simpo": "simpo"}
OPTIMISERS = {"adamw": "adamw_torch", "adamw_8bit": "paged_adamw_8bit", "adafactor": "adafactor"}
ONLY_PREFERENCES = {"pref_beta", "simpo_gamma", "pref_ftx", "dpo_label_smoothing"}
ONLY_KTO = {"kto_chosen_weight", "kto_rejected_weight"}
WRITTEN = {
    "name", "base_model", "tokenizer", "datasets", "method", "loss", "max_length", "sequence_length", "system_prompt",
    "held_out_fraction", "lora.targets", "lora.variant", "optimisation.schedule", "optimisation.optimizer",
    "optimisation.precision", "optimisation.tokens_per_step", "optimisation.micro_batch_tokens", "optimisation.compile",
    "optimisation.gradient_checkpointing", "parallel.shard", "saving.keep_best",
}  # fmt: skip
"""Settings that a file for LLaMA-Factory has beside `NUMBERS`."""


def find_inputs(workspace: Workspace, recipe: RecipeFile) -> dict[str, Any]:
    """Model and dataset of this workspace that bear the names of the file; what is not found is noted."""
    found: dict[str, Any] = {}
    if recipe.model:
        model = _model(workspace, recipe.model)
        if model is None:
            recipe.note(NO_MODEL, value=recipe.model)
        else:
            found["base_model"] = model.pk
    versions = {name: _version(workspace, name) for name in recipe.datasets}
    for name, version in versions.items():
        if version is None:
            recipe.note(NO_DATASET, value=name)
    found["datasets"] = [version.pk for version in versions.values() if version is not None]
    return found


def _last(name: str) -> str:
    return name.rstrip("/").rsplit("/", maxsplit=1)[-1]


def _model(workspace: Workspace, name: str) -> Model | None:
    models = list(ready_models(workspace, TRAINABLE))
    for wanted in (name, _last(name)):
        for model in models:
            if wanted in (model.name, model.origin, _last(model.origin or "-")):
                return model
    return None


def _version(workspace: Workspace, name: str) -> DatasetVersion | None:
    ready = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY, count__gt=0)
    for wanted in (name, _last(name)):
        if found := ready.filter(dataset__name=wanted).select_related("dataset").order_by("-number").first():
            return found
    return None


def as_form(workspace: Workspace, recipe: RecipeFile) -> dict[str, str]:
    """What the launch form would post."""
    inputs = find_inputs(workspace, recipe)
    values = {path: text_of(value) for path, value in recipe.settings.items() if path != "name" or value}
    if "base_model" in inputs:
        values["base_model"] = str(inputs["base_model"])
    if inputs["datasets"]:
        values["datasets"] = str(inputs["datasets"][0])
        if len(inputs["datasets"]) > 1:
            recipe.note(ONE_DATASET, value=recipe.datasets[0])
    return values


def as_settings(workspace: Workspace, recipe: RecipeFile) -> dict[str, Any]:
    """The body for `POST /workspaces/{slug}/training/{kind}`."""
    return {**nested(recipe.settings), **find_inputs(workspace, recipe)}


def llamafactory_file(job: Job) -> str:
    """The run's settings as LLaMA-Factory's YAML; numbers that the program chose are written out."""
    if job.kind not in WRITTEN_FOR_OTHERS:
        raise UserError(
            "recipe.no_counterpart",
            "LLaMA-Factory has no such kind of run; fine-tuning, preferences, reward models and pre-training can be written.",
            status=409,
        )
    values = settings_of(job)
    kto = values.get("loss") == "kto"
    written: dict[str, Any] = {
        "model_name_or_path": origin_of(job),
        "stage": "kto" if kto else WRITTEN_FOR_OTHERS[job.kind],
        "do_train": True,
        **_method(job, values),
        "dataset": ",".join(datasets_of(job)),
        "output_dir": f"saves/{folder_name(job)}",
        "packing": job.kind in {"sft", "pretrain"},
    }
    if job.kind == "sft":
        written["neat_packing"] = True
    if job.kind == "preference" and not kto:
        written["pref_loss"] = LOSSES[str(values.get("loss", "dpo"))]
    skipped = (ONLY_PREFERENCES if job.kind != "preference" or kto else ONLY_KTO) | (ONLY_KTO if not kto else {"pref_ftx"})
    adapted = written["finetuning_type"] == "lora"
    for name, (path, kind) in NUMBERS.items():
        if (value := values.get(path)) is None or name in skipped - ({"pref_beta"} if kto else set()):
            continue
        if adapted or not path.startswith("lora."):
            written[name] = kind(value)
    written |= _more(job, values)
    head = [f"{job.kind} run {job.pk}. The dataset names must stand in LLaMA-Factory's dataset_info.json."]
    if left := left_out(job, job.kind, WRITTEN | {path for path, _ in NUMBERS.values()}):
        head += ["Without a counterpart in LLaMA-Factory's file:", *(f"- {path}: {value}" for path, value in left.items())]
    comment = "".join(f"# {line}\n" for line in head)
    return comment + yaml.safe_dump(written, allow_unicode=True, sort_keys=False)


def left_out(job: Job, kind: str, written: set[str]) -> dict[str, str]:
    """path → value of the settings that differ from what an untouched form means and are not among the `written` ones."""
    defaults = {item.path: item.default for group in form_groups(spec_class(kind), without=set()) for item in group.fields}
    asked = {path: text_of(value) for path, value in flattened(job.spec).items()}
    return {
        path: short(value.replace("\n", ", "))
        for path, value in asked.items()
        if path not in written and value != defaults.get(path, value)
    }


def origin_of(job: Job) -> str:
    """Where the base model came from, or its name here."""
    number = job.spec.get("base_model") or job.spec.get("tokenizer")
    model = Model.objects.filter(workspace=job.workspace_id, pk=number).first()
    if model is None:
        return ""
    return model.origin if model.origin and model.kind != ModelKind.ADAPTER else model.name


def folder_name(job: Job) -> str:
    """The run's name as one folder's."""
    return str(job.spec.get("name") or job.name).replace("/", "-").lstrip(".")


def datasets_of(job: Job) -> list[str]:
    found = DatasetVersion.objects.filter(dataset__workspace=job.workspace_id, pk__in=job.spec.get("datasets", []))
    return [version.dataset.name.replace(",", " ") for version in found.select_related("dataset")]


def _method(job: Job, values: Mapping[str, Any]) -> dict[str, Any]:
    method = str((job.result or {}).get("method") or values.get("method") or "full")
    if method not in {"lora", "qlora"}:
        return {"finetuning_type": "full"}
    targets = values.get("lora.targets")
    found: dict[str, Any] = {"finetuning_type": "lora", "lora_target": ",".join(targets) if targets else "all"}
    if method == "qlora":
        found |= {"quantization_bit": 4, "quantization_method": "bnb", "double_quantization": True}
    switch = {"rslora": "use_rslora", "dora": "use_dora", "pissa": "pissa_init"}.get(str(values.get("lora.variant")))
    return found | ({switch: True} if switch else {})


def _more(job: Job, values: Mapping[str, Any]) -> dict[str, Any]:
    length = int(values.get("sequence_length") or values.get("max_length") or 2048)
    found: dict[str, Any] = {
        "cutoff_len": length,
        "lr_scheduler_type": values.get("optimisation.schedule", "cosine"),
        "optim": OPTIMISERS.get(str(values.get("optimisation.optimizer")), "adamw_torch"),
        "bf16": values.get("optimisation.precision") == "bfloat16",
        "val_size": values.get("held_out_fraction", 0.0),
    }
    if step := values.get("optimisation.tokens_per_step"):
        batch = max(1, round(min(int(values.get("optimisation.micro_batch_tokens") or step), int(step)) / length))
        found |= {
            "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": max(1, round(int(step) / (batch * length))),
        }
    if (asked := values.get("optimisation.gradient_checkpointing")) in {"on", "off"}:
        found["disable_gradient_checkpointing"] = asked == "off"
    if system := values.get("system_prompt"):
        found["default_system"] = system
    if values.get("optimisation.compile") == "on":
        found["torch_compile"] = True
    if values.get("saving.keep_best"):
        found["load_best_model_at_end"] = True
    if (shard := values.get("parallel.shard")) in {"zero2", "zero3"}:
        found["deepspeed"] = f"examples/deepspeed/ds_z{str(shard)[-1]}_config.json"
    return found

"""Settings from files of other programs: LLaMA-Factory's YAML, DeepSpeed's JSON, XTuner's Python configs (read, never run).

What has a counterpart here fills the form; everything else is told by name. Sources of the names: the `hparams` of
LLaMA-Factory 0.9 and the configs of XTuner 0.2.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml
from django.utils.translation import gettext_noop as noop

from webapp.core.errors import UserError, translate
from webapp.registry.training import deepspeed_reading, xtuner_reading

LARGEST = 100_000
MOST_NOTES = 60
LONGEST_VALUE = 200
STAGES = {"pt": "pretrain", "sft": "sft", "dpo": "preference", "kto": "preference", "rm": "reward"}
LOSSES = {"sigmoid": "dpo", "orpo": "orpo", "simpo": "simpo"}
OPTIMISERS = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_hf": "adamw",
    "AdamW": "adamw",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw_8bit": "adamw_8bit",
    "adafactor": "adafactor",
    "AdamW8bit": "adamw_8bit",
    "PagedAdamW8bit": "adamw_8bit",
    "PagedAdamW32bit": "adamw",
    "Adafactor": "adafactor",
}
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant", "constant_with_warmup": "constant"}
NUMBERS: dict[str, tuple[str, type]] = {
    "learning_rate": ("optimisation.learning_rate", float),
    "warmup_ratio": ("optimisation.warmup_fraction", float),
    "weight_decay": ("optimisation.weight_decay", float),
    "max_grad_norm": ("optimisation.clip_norm", float),
    "num_train_epochs": ("epochs", float),
    "lora_rank": ("lora.rank", int),
    "lora_alpha": ("lora.alpha", float),
    "lora_dropout": ("lora.dropout", float),
    "pref_beta": ("beta", float),
    "simpo_gamma": ("margin", float),
    "pref_ftx": ("sft_weight", float),
    "dpo_label_smoothing": ("label_smoothing", float),
    "kto_chosen_weight": ("desirable_weight", float),
    "kto_rejected_weight": ("undesirable_weight", float),
    "seed": ("seed", int),
    "save_steps": ("saving.every_steps", int),
    "save_total_limit": ("saving.keep", int),
    "eval_steps": ("saving.evaluate_every_steps", int),
}
"""Name there → (setting here, its type)."""
SWITCHES = {"load_best_model_at_end": "saving.keep_best"}
OF_NO_EFFECT = {
    "do_train", "do_eval", "do_predict", "stage", "finetuning_type", "overwrite_output_dir", "overwrite_cache", "logging_steps",
    "plot_loss", "report_to", "preprocessing_num_workers", "dataloader_num_workers", "ddp_timeout", "save_only_model",
    "dataset_dir", "packing", "neat_packing", "quantization_method", "double_quantization", "resume_from_checkpoint",
    "per_device_eval_batch_size", "eval_strategy", "evaluation_strategy", "save_strategy", "logging_dir",
    "include_tokens_per_second", "include_num_input_tokens_seen", "pref_loss", "pissa_init", "use_dora", "use_rslora",
    "quantization_bit", "bf16", "fp16",
    "pure_bf16", "cutoff_len", "per_device_train_batch_size", "gradient_accumulation_steps", "model_name_or_path", "dataset",
    "output_dir", "default_system", "optim", "lr_scheduler_type", "lora_target", "val_size", "torch_compile",
    "disable_gradient_checkpointing", "gradient_checkpointing", "deepspeed", "trust_remote_code", "template", "flash_attn",
    "max_samples", "ref_model", "use_cache", "ddp_find_unused_parameters", "pissa_convert", "cache_dir",
}  # fmt: skip
"""Read elsewhere in this module, or without a meaning for the result."""
UNKNOWN = noop("“{name}: {value}” has no counterpart here and was left out.")
REASONS = {
    "template": noop("The chat template “{value}” was left out: a model here is trained with the one that lies beside it."),
    "max_samples": noop("“max_samples: {value}” was left out: make a smaller version of the dataset instead."),
    "trust_remote_code": noop("“trust_remote_code” was left out: code from model folders is never run."),
    "flash_attn": noop("“flash_attn: {value}” was left out: the fastest attention is chosen for the machine."),
    "ref_model": noop("“ref_model” was left out: the reference is the model before its first step."),
}
SHARED_OUT = noop(
    "“{value}” became sharing out by FSDP2, which does what DeepSpeed's stages do; set “processes” to the number of your GPUs."
)
FOUR_BITS_NOT_SHARED = noop("“{value}” was left out: weights in 4 bits cannot be shared out; choose LoRA to share them.")
ADAMW_ONLY = noop("“{value}” was left out: weights that are shared out are learnt with adamw only; choose it to share them.")
OTHER_KIND = noop("“{name}: {value}” does not go with this kind of run and was left out.")
NOT_A_NUMBER = noop("“{name}: {value}” is no number that can be used and was left out.")
STEP_IN_EXAMPLES = noop(
    "{count} examples a step: here a step is measured in tokens and its size is chosen; set “tokens per step” to decide it."
)
BITS = noop("{value} bits became 4 bits (nf4), the only small weights that are trained here.")
HALF = noop("fp16 became bfloat16 where the machine has it: the same memory without overflows.")
NO_MODEL = noop("There is no model “{value}” here; choose the base model, or import it first.")
NO_DATASET = noop("There is no dataset “{value}” here; choose the dataset, or import it first.")
ONE_DATASET = noop("Only “{value}” of the datasets was chosen: join them to one version, or start the run by the API.")


@dataclass
class RecipeFile:
    """`kind` of run; `settings`: path in the spec → value; `model`, `datasets`: their names there; `notes`: (text, values)."""

    program: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    datasets: list[str] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def note(self, text: str, **values: Any) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append((text, {key: short(value) for key, value in values.items()}))

    def told(self) -> list[str]:
        return [translate(text, values) for text, values in self.notes]


def short(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return "…"
    text = "".join(character for character in str(value) if character.isprintable())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def read_recipe(text: str, kind: str = "sft") -> RecipeFile:
    """UserError when it is none of them. `kind` of run: for a file that says nothing about it (DeepSpeed's)."""
    if len(text) > LARGEST:
        raise UserError(
            "recipe.too_long",
            "The file has more than {limit} characters; a LLaMA-Factory or XTuner config is far shorter. Choose another one.",
            status=422,
            limit=LARGEST,
        )
    values = _yaml(text)
    if values is not None:
        return _from_deepspeed(values, kind) if deepspeed_reading.is_config(values) else _from_llamafactory(values)
    values = xtuner_reading.assignments(text)
    if xtuner_reading.is_config(values):
        return _from_xtuner(values)
    raise UserError(
        "recipe.not_understood",
        "This is neither a LLaMA-Factory file (YAML with a “stage”) nor a config of XTuner or DeepSpeed; choose another file.",
        status=422,
    )


class _Plain(yaml.SafeLoader):
    """Safe YAML without aliases, which can make a short file endless."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _yaml(text: str) -> dict[str, Any] | None:
    """The settings of LLaMA-Factory or DeepSpeed, or None when this is something else."""
    try:
        found = _Plain(text).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return None
    known = {"stage", "model_name_or_path", "finetuning_type"}
    if not isinstance(found, dict):
        return None
    values = {str(key): value for key, value in found.items()}
    return values if known & set(values) or deepspeed_reading.is_config(values) else None


# LLaMA-Factory


def _from_llamafactory(values: dict[str, Any]) -> RecipeFile:
    stage = str(values.get("stage", "sft"))
    if stage not in STAGES:
        raise UserError(
            "recipe.unknown_stage",
            "The stage “{stage}” has no counterpart here; there are {known}, and reinforcement by verifiable rewards as a form "
            "of its own.",
            status=422,
            stage=short(stage),
            known=", ".join(STAGES),
        )
    recipe = RecipeFile("LLaMA-Factory", STAGES[stage])
    if stage == "dpo" and (loss := str(values.get("pref_loss", "sigmoid"))) not in LOSSES:
        recipe.note(UNKNOWN, name="pref_loss", value=loss)
    if recipe.kind == "preference":
        recipe.settings["loss"] = "kto" if stage == "kto" else LOSSES.get(str(values.get("pref_loss", "sigmoid")), "dpo")
    recipe.model = str(values.get("model_name_or_path") or "")
    recipe.datasets = [name.strip() for name in str(values.get("dataset") or "").split(",") if name.strip()]
    recipe.settings["name"] = PurePosixPath(str(values.get("output_dir") or "")).name[:120]
    _method(recipe, values)
    _numbers(recipe, values)
    _lengths(recipe, values)
    _choices(recipe, values)
    for name, value in values.items():
        if name in REASONS and value not in (None, False, "auto"):
            recipe.note(REASONS[name], name=name, value=value)
        elif name not in OF_NO_EFFECT and name not in NUMBERS and name not in SWITCHES and value not in (None, False):
            recipe.note(UNKNOWN, name=name, value=value)
    return _kept(recipe)


def _method(recipe: RecipeFile, values: Mapping[str, Any]) -> None:
    if recipe.kind == "pretrain":
        if values.get("finetuning_type", "lora") != "full":
            recipe.note(OTHER_KIND, name="finetuning_type", value=values.get("finetuning_type", "lora"))
        return
    method, bits = str(values.get("finetuning_type", "lora")), values.get("quantization_bit")
    if method not in {"full", "lora"}:
        recipe.note(UNKNOWN, name="finetuning_type", value=method)
        method = "lora"
    if bits and method == "lora":
        method = "qlora"
        if bits != 4:
            recipe.note(BITS, value=bits)
    recipe.settings["method"] = method
    for name, variant in (("pissa_init", "pissa"), ("use_dora", "dora"), ("use_rslora", "rslora")):
        if values.get(name):
            recipe.settings["lora.variant"] = variant
    targets = values.get("lora_target", "all")
    if targets != "all":
        names = targets if isinstance(targets, list) else str(targets).split(",")
        recipe.settings["lora.targets"] = [short(name).strip() for name in names if str(name).strip()]


def number(recipe: RecipeFile, name: str, value: Any, kind: Callable[[float], Any]) -> float | int | None:
    """YAML reads 1e-4 as a text, so texts are tried too."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        recipe.note(NOT_A_NUMBER, name=name, value=value)
        return None
    return kind(found)  # type: ignore[no-any-return]


def _numbers(recipe: RecipeFile, values: Mapping[str, Any]) -> None:
    for name, (path, kind) in NUMBERS.items():
        if values.get(name) is not None and (found := number(recipe, name, values[name], kind)) is not None:
            recipe.settings[path] = found
    for name, path in SWITCHES.items():
        if values.get(name):
            recipe.settings[path] = True
    share = values.get("val_size")
    if share is not None and (found := number(recipe, "val_size", share, float)) is not None:
        if 0 <= found <= 0.5:
            recipe.settings["held_out_fraction"] = found
        else:
            recipe.note(UNKNOWN, name="val_size", value=share)


def _lengths(recipe: RecipeFile, values: Mapping[str, Any]) -> None:
    length = number(recipe, "cutoff_len", values.get("cutoff_len", 2048), int) or 2048
    recipe.settings["sequence_length" if recipe.kind == "pretrain" else "max_length"] = length
    given = [values.get(name) or 1 for name in ("per_device_train_batch_size", "gradient_accumulation_steps")]
    batch, accumulated = (number(recipe, "per_device_train_batch_size", item, int) or 1 for item in given)
    if values.get("packing") or values.get("neat_packing") or recipe.kind == "pretrain":
        recipe.settings["optimisation.tokens_per_step"] = batch * accumulated * length
        recipe.settings["optimisation.micro_batch_tokens"] = batch * length
    elif {"per_device_train_batch_size", "gradient_accumulation_steps"} & set(values):
        recipe.note(STEP_IN_EXAMPLES, count=batch * accumulated)


def _choices(recipe: RecipeFile, values: Mapping[str, Any]) -> None:
    for name, table, path in (
        ("optim", OPTIMISERS, "optimisation.optimizer"),
        ("lr_scheduler_type", SCHEDULES, "optimisation.schedule"),
    ):
        if (given := values.get(name)) is None:
            continue
        if str(given) in table:
            recipe.settings[path] = table[str(given)]
        else:
            recipe.note(UNKNOWN, name=name, value=given)
    if values.get("bf16") or values.get("pure_bf16"):
        recipe.settings["optimisation.precision"] = "bfloat16"
    elif values.get("fp16"):
        recipe.note(HALF)
    if "disable_gradient_checkpointing" in values:
        recipe.settings["optimisation.gradient_checkpointing"] = "off" if values["disable_gradient_checkpointing"] else "on"
    if values.get("torch_compile"):
        recipe.settings["optimisation.compile"] = "on"
    if (system := values.get("default_system")) is not None:
        recipe.settings["system_prompt"] = str(system)
    if (config := values.get("deepspeed")) is not None:
        _deepspeed(recipe, config)


def _deepspeed(recipe: RecipeFile, config: Any) -> None:
    """Sharing out as DeepSpeed was asked for it, where that can be had with the other settings."""
    asked = deepspeed_reading.settings_of(config)
    if asked.get("parallel.shard") in {"zero2", "zero3"}:
        name = config if isinstance(config, str) else f"{deepspeed_reading.KEY}: {asked['parallel.shard'][-1]}"
        if recipe.settings.get("method") == "qlora":
            recipe.note(FOUR_BITS_NOT_SHARED, value=name)
            del asked["parallel.shard"]
        elif recipe.settings.get("optimisation.optimizer", "adamw") != "adamw":
            recipe.note(ADAMW_ONLY, value=name)
            del asked["parallel.shard"]
        else:
            recipe.note(SHARED_OUT, value=name)
    recipe.settings |= asked


def _from_deepspeed(config: Mapping[str, Any], kind: str) -> RecipeFile:
    recipe = RecipeFile("DeepSpeed", kind)
    _deepspeed(recipe, config)
    if count := deepspeed_reading.examples_of_step(config):
        recipe.note(STEP_IN_EXAMPLES, count=count)
    half = config.get("fp16")
    if isinstance(half, Mapping) and half.get("enabled") is True:
        recipe.note(HALF)
    for name, value in deepspeed_reading.not_understood(config).items():
        recipe.note(UNKNOWN, name=name, value=value)
    return _kept(recipe)


# XTuner


def _from_xtuner(values: dict[str, Any]) -> RecipeFile:
    recipe = _from_llamafactory(xtuner_reading.as_llamafactory(values))
    recipe.program = "XTuner"
    recipe.settings |= xtuner_reading.more_settings(values)
    for name, value in xtuner_reading.not_understood(values).items():
        recipe.note(UNKNOWN, name=name, value=value)
    return _kept(recipe)


def _kept(recipe: RecipeFile) -> RecipeFile:
    """Only what the kind of run has."""
    from webapp.registry.training.services import spec_class

    known = _paths(spec_class(recipe.kind))
    for path in list(recipe.settings):
        if path not in known or recipe.settings[path] in ("", None):
            value = recipe.settings.pop(path)
            if value not in ("", None):
                recipe.note(OTHER_KIND, name=path, value=value)
    return recipe


def _paths(spec: Any) -> set[str]:
    from webapp.registry.training.spec_fields import form_groups

    return {item.path for group in form_groups(spec, without=set()) for item in group.fields}


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{"lora.rank": 8} as {"lora": {"rank": 8}}, as the API takes it."""
    found: dict[str, Any] = {}
    for path, value in settings.items():
        *parents, name = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return found

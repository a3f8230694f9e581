"""XTuner's Python configs as LLaMA-Factory's names: read as text, never run.

Sources of the names: the configs and documentation of XTuner 0.1 and 0.2.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

LLAMA_FACTORY = {
    "lr": "learning_rate", "max_norm": "max_grad_norm", "max_epochs": "num_train_epochs", "weight_decay": "weight_decay",
    "warmup_ratio": "warmup_ratio", "warm_up_ratio": "warmup_ratio", "save_steps": "save_steps",
    "save_total_limit": "save_total_limit", "evaluation_freq": "eval_steps", "max_length": "cutoff_len",
    "batch_size": "per_device_train_batch_size", "accumulative_counts": "gradient_accumulation_steps",
    "pack_to_max_length": "packing", "optim_type": "optim", "pretrained_model_name_or_path": "model_name_or_path",
    "lora.r": "lora_rank", "lora.lora_alpha": "lora_alpha", "lora.lora_dropout": "lora_dropout", "lora.use_dora": "use_dora",
    "lora.use_rslora": "use_rslora", "lora.target_modules": "lora_target", "SYSTEM": "default_system", "seed": "seed",
    "prompt_template": "template", "loss_beta": "pref_beta", "label_smoothing": "dpo_label_smoothing",
    "compile": "torch_compile", "work_dir": "output_dir", "schedule": "lr_scheduler_type",
}  # fmt: skip
"""Name there (or of what `assignments` finds inside) → name in LLaMA-Factory, whose table then leads on."""
INNER = {
    "r": "lora.r", "lora_alpha": "lora.lora_alpha", "lora_dropout": "lora.lora_dropout", "load_in_4bit": "lora.load_in_4bit",
    "use_dora": "lora.use_dora", "use_rslora": "lora.use_rslora", "init_lora_weights": "lora.init_lora_weights",
    "target_modules": "lora.target_modules", "use_activation_checkpointing": "model.checkpointing",
}  # fmt: skip
"""Arguments that count wherever they stand in the file."""
ELSEWHERE = {
    "evaluation_inputs", "data_path", "data_files", "alpaca_en_path", "lora.load_in_4bit", "lora.init_lora_weights",
    "model.checkpointing", "model.type", "optim_wrapper.type", "optim_wrapper.dtype", "dataset_map_fn", "dpo_loss_type",
    "max_packed_length", "sequence_parallel_size",
}  # fmt: skip
"""Read below."""
NO_MATTER = {
    "dataloader_num_workers", "betas", "sampler", "randomness", "log_level", "visualizer", "resume", "use_varlen_attn",
}  # fmt: skip
STAGES = {"DPO": "dpo", "ORPO": "dpo", "RewardModel": "rm"}
CONFIG = {"pretrained_model_name_or_path", "lr", "max_length"}
MOST_PROMPTS = 8


def assignments(text: str) -> dict[str, Any]:
    """Plain values that are assigned at the top of a Python file, and what `INNER` and `_parts` find in the calls below."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
            found[name] = value.id if isinstance(value, ast.Name) else _literal(value)
            found |= dict(_parts(name, value))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in INNER:
            found.setdefault(INNER[node.arg], _literal(node.value))
        elif isinstance(node, ast.keyword) and node.arg == "dataset_map_fn":
            found["dataset_map_fn"] = _name(node.value) or None
    return {name: value for name, value in found.items() if value is not None}


def _parts(name: str, value: ast.expr) -> Iterator[tuple[str, str]]:
    """What the calls of these names decide."""
    if name in {"model", "optim_wrapper"} and isinstance(value, ast.Call):
        for argument in value.keywords:
            if argument.arg in {"type", "dtype"}:
                yield f"{name}.{argument.arg}", _name(argument.value)
    elif name == "param_scheduler":
        calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
        types = [_name(argument.value) for call in calls for argument in call.keywords if argument.arg == "type"]
        falls = any(argument.arg == "end_factor" for call in calls for argument in call.keywords)
        yield "schedule", "cosine" if "CosineAnnealingLR" in types else "linear" if falls else "constant"


def _name(node: ast.expr) -> str:
    """The last part of `a.b.C`, of C, or of the text 'a.b.C' (as configs are written beside a run)."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return str(node.value).rpartition(".")[2] if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def is_config(values: Mapping[str, Any]) -> bool:
    return bool(CONFIG & set(values))


def as_llamafactory(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under LLaMA-Factory's names."""
    found = {LLAMA_FACTORY[name]: value for name, value in values.items() if name in LLAMA_FACTORY}
    kind = str(values.get("model.type", ""))
    found["stage"] = "pt" if values.get("dataset_map_fn") == "pretrain_map_fn" else STAGES.get(kind, "sft")
    if found["stage"] == "dpo":
        found["pref_loss"] = "orpo" if kind == "ORPO" else str(values.get("dpo_loss_type", "sigmoid"))
    found["finetuning_type"] = "lora" if "lora.r" in values else "full"
    found["dataset"] = ",".join(_datasets(values))
    found |= {
        name: True
        for name, given in (
            ("pissa_init", str(values.get("lora.init_lora_weights")).startswith("pissa")),
            ("bf16", values.get("optim_wrapper.dtype") == "bfloat16"),
            ("fp16", values.get("optim_wrapper.dtype") == "float16"),
        )
        if given
    }
    if values.get("lora.load_in_4bit"):
        found["quantization_bit"] = 4
    if isinstance(values.get("model.checkpointing"), bool):
        found["disable_gradient_checkpointing"] = not values["model.checkpointing"]
    if found.get("packing") is False:
        del found["packing"]
    if _packed_pairs(values):
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
            found.pop(name, None)
    return found


def _datasets(values: Mapping[str, Any]) -> list[str]:
    data = values.get("data_path") or values.get("alpaca_en_path")
    if isinstance(data, str):
        return [data]
    files = values.get("data_files")
    return [PurePosixPath(name).stem for name in files if isinstance(name, str)] if isinstance(files, list) else []


def _packed_pairs(values: Mapping[str, Any]) -> bool:
    """Whether pairs are packed to a number of tokens, which makes a step that can be told in tokens."""
    given = [values.get(name, 1) for name in ("max_packed_length", "batch_size", "accumulative_counts")]
    whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in given)
    return whole and "max_packed_length" in values and bool(values.get("use_varlen_attn"))


def more_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings here for which LLaMA-Factory has no name."""
    found: dict[str, Any] = {}
    prompts = values.get("evaluation_inputs")
    if isinstance(prompts, list):
        found["sample_prompts"] = [str(prompt)[:1000] for prompt in prompts[:MOST_PROMPTS]]
    if values.get("optim_wrapper.type") == "OptimWrapper":
        found["optimisation.precision"] = "float32"
    if isinstance(group := values.get("sequence_parallel_size"), int) and 1 < group <= 64:
        found["parallel.sequence"] = group
    if _packed_pairs(values):
        once = values["max_packed_length"] * values.get("batch_size", 1)
        found["optimisation.micro_batch_tokens"] = once
        found["optimisation.tokens_per_step"] = once * values.get("accumulative_counts", 1)
    return found


def not_understood(values: Mapping[str, Any]) -> dict[str, Any]:
    used = {*LLAMA_FACTORY, *ELSEWHERE, *NO_MATTER}
    return {
        name: value
        for name, value in values.items()
        if name not in used and not name.startswith("_") and not isinstance(value, Mapping | list)
    }

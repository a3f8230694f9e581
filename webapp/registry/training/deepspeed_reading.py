"""DeepSpeed's settings: what a config (JSON) or the name of one in LLaMA-Factory's YAML asks for, in our settings.

Its ZeRO stages are what FSDP2 does here: 1 and 2 share out optimiser state and gradients, 3 the weights, too.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

STAGES = {0: "none", 1: "zero2", 2: "zero2", 3: "zero3"}
STAGE_IN_NAME = re.compile(r"z(?:ero)?[_-]?(?:stage)?[_-]?([0-3])(?![0-9])", re.IGNORECASE)
KEY = "zero_optimization"
READ = {KEY, "gradient_clipping", "bf16", "fp16", "optimizer", "scheduler"}
EXAMPLES = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
"""A step in examples; here it is measured in tokens."""
NO_MATTER = {
    "steps_per_print", "wall_clock_breakdown", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "tensorboard",
    "communication_data_type", "dump_state", "prescale_gradients", "flops_profiler", "comms_logger", "amp",
}  # fmt: skip


def is_config(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get(KEY), Mapping)


def settings_of(given: Any) -> dict[str, Any]:
    """Settings for the name of a config (`ds_z3_offload_config.json`) or for a config itself. “auto” decides nothing."""
    return _of_config(given) if isinstance(given, Mapping) else _of_name(str(given))


def _of_name(name: str) -> dict[str, Any]:
    stage = STAGE_IN_NAME.search(name)
    found: dict[str, Any] = {"parallel.shard": STAGES[int(stage[1])] if stage else "zero2"}
    if "offload" in name.lower():
        found["optimisation.offload_optimizer"] = "on"
    return found


def _of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    zero = config.get(KEY)
    zero = zero if isinstance(zero, Mapping) else {}
    found: dict[str, Any] = {}
    stage = _number(zero.get("stage", 0))
    if stage is not None and stage in STAGES:
        found["parallel.shard"] = STAGES[int(stage)]
    if _inside(zero, "offload_optimizer", "device") == "cpu" or zero.get("cpu_offload") is True:
        found["optimisation.offload_optimizer"] = "on"
    if _inside(config, "bf16", "enabled") is True:
        found["optimisation.precision"] = "bfloat16"
    parameters = _inside(config, "optimizer", "params")
    rates = parameters if isinstance(parameters, Mapping) else {}
    for path, value in (
        ("optimisation.clip_norm", config.get("gradient_clipping")),
        ("optimisation.learning_rate", rates.get("lr")),
        ("optimisation.weight_decay", rates.get("weight_decay")),
    ):
        if (number := _number(value)) is not None:
            found[path] = number
    return found


def not_understood(config: Mapping[str, Any]) -> dict[str, Any]:
    """name → value of what has no counterpart."""
    zero = config.get(KEY)
    left = (
        {f"{KEY}.stage": zero.get("stage")} if isinstance(zero, Mapping) and _number(zero.get("stage", 0)) not in STAGES else {}
    )
    for name in ("offload_param", "offload_optimizer"):
        device = _inside(zero, name, "device")
        if str(device or "none") != "none" and (name, device) != ("offload_optimizer", "cpu"):
            left[f"{KEY}.{name}"] = device
    kind = _inside(config, "optimizer", "type")
    if str(kind or "auto") not in {"auto", "Adam", "AdamW"}:
        left["optimizer"] = kind
    known = {*READ, *EXAMPLES, *NO_MATTER}
    return left | {name: value for name, value in config.items() if name not in known and value not in (None, False, "auto")}


def examples_of_step(config: Mapping[str, Any]) -> int:
    """Examples of a step that the config asks for; 0 when it leaves that to others."""
    total, each, times = (_number(config.get(name)) for name in EXAMPLES)
    if total:
        return int(total)
    return int((each or 1) * (times or 1)) if each or times else 0


def _inside(values: Any, *names: str) -> Any:
    for name in names:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None

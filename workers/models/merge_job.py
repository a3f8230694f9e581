"""Makes a full model of a LoRA and its base, so that it can be trained further with a LoRA of its own."""

from collections.abc import Mapping
from typing import Any

from workers.models.folder import inspect
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.registry import MergeModelSpec


def run(program: Program) -> Mapping[str, Any]:
    MergeModelSpec.model_validate(program.run.spec)
    model = program.run.model()
    if model.path is None or model.adapter_path is None:
        raise UserError("model.nothing_to_merge", "“{name}” is no LoRA adapter; there is nothing to merge.", name=model.name)
    target, staging = program.run.output_dir / "model", program.run.output_dir / ".merging"
    if not target.is_dir():
        program.phase("merging")
        from workers.models.merging import merge

        merge(base=model.path, adapter=model.adapter_path, target=staging)
        staging.rename(target)
    program.phase("checking")
    facts = inspect(target)
    program.artifact("model", target, bytes=facts.bytes)
    return {"facts": facts.as_dict()}

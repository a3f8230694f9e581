"""Finds a run's inputs by their roles: `dataset`, `dataset.2`, …; `base_model`; `tokenizer`."""

from pathlib import Path

from workers.data.templates import ChatTemplate, load_template
from workers.data.token_identity import require_same, tokenizer_folder
from workers.spec.errors import UserError
from workers.spec.run import DatasetInput, ModelInput, RunFile


def datasets_of(run: RunFile) -> list[DatasetInput]:
    found = [item for role, item in sorted(run.inputs.items()) if role == "dataset" or role.startswith("dataset.")]
    datasets = [item for item in found if isinstance(item, DatasetInput)]
    if not datasets:
        raise UserError("train.no_dataset", "The run has no dataset; choose at least one.")
    return datasets


def model_input(run: RunFile, role: str) -> ModelInput | None:
    found = run.inputs.get(role)
    return found if isinstance(found, ModelInput) else None


def model_folder(item: ModelInput) -> Path:
    """The folder of a model that lies on this machine."""
    if item.path is None:
        raise UserError(
            "train.remote_model",
            "“{name}” is a remote model; only a model with weights on this server can be trained.",
            name=item.name,
        )
    return item.path


def template_folder(item: ModelInput) -> Path:
    return tokenizer_folder(model_folder(item), item.adapter_path)


def open_template(item: ModelInput) -> ChatTemplate:
    """Tokenizer and template of a model; UserError when they are not those that were recorded for it (N3)."""
    template = load_template(template_folder(item))
    require_same(template, name=item.name, template_hash=item.template_hash, fingerprint_then=item.fingerprint)
    return template


def recorded(run: RunFile) -> dict[str, dict[str, str]]:
    """What a run began with: role → name and digests of weights and template."""
    given = {role: item for role, item in run.inputs.items() if isinstance(item, ModelInput)}
    return {role: {"name": item.name, "sha256": item.sha256, "template_hash": item.template_hash} for role, item in given.items()}

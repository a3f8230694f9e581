"""Finds a run's inputs by their roles: `dataset`, `dataset.2`, …; `base_model`; `tokenizer`."""

from pathlib import Path

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

"""A model's card: what its page and its export tell of it."""

from pathlib import Path
from typing import Any

from django.conf import settings

from webapp.core.errors import UserError
from webapp.registry.lineage import chain
from webapp.registry.models import Model, ModelKind
from workers.data.templates import load_template
from workers.models.folder import list_files

LONGEST_TEMPLATE = 40_000


def export_card(model: Model) -> dict[str, Any]:
    """Everything that lets somebody else judge and repeat the model; goes into its export as card.json."""
    return {
        "name": model.name,
        "family": model.family,
        "kind": model.kind,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "context_length": model.context_length,
        "vocabulary": model.vocabulary,
        "languages": model.languages,
        "licence": model.licence,
        "description": model.description,
        "weights_sha256": model.weights_sha256,
        "template_hash": model.template_hash,
        "created_at": model.created_at.isoformat(),
        "origin": model.origin if model.kind != ModelKind.ENDPOINT else "",
        "lineage": [
            {
                "name": step.name,
                "kind": step.kind,
                "weights_sha256": step.weights_sha256,
                "datasets": [
                    {"name": str(version), "sha256": version.sha256, "count": version.count}
                    for version in step.datasets.select_related("dataset")
                ],
            }
            for step in chain(model)
        ],
        "recipe": model.card,
    }


def generation_defaults(model: Model) -> dict[str, Any]:
    """Temperature and top_p that the model wants where a request names none."""
    found: dict[str, Any] = model.card.get("generation") or {}
    return found


def template_text(model: Model) -> dict[str, Any]:
    """The chat template of a model with files: {"source", "hash", "is_default"}; empty when it has none that can be read."""
    folder = _template_folder(model)
    if folder is None:
        return {}
    try:
        template = load_template(folder)
    except UserError as error:
        return {"error": error}
    return {"source": template.source[:LONGEST_TEMPLATE], "hash": template.hash, "is_default": template.is_default}


def _template_folder(model: Model) -> Path | None:
    """An adapter's own tokenizer, else its base's."""
    for step in (model, model.base):
        if step is not None and step.path and (Path(settings.DATA_DIR) / step.path / "tokenizer.json").is_file():
            return Path(settings.DATA_DIR) / step.path
    return None


def files(model: Model) -> list[dict[str, Any]]:
    folder = Path(settings.DATA_DIR) / model.path
    return list_files(folder) if model.path and folder.is_dir() else []

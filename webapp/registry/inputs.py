"""From a model's row to what a child program is told of it."""

from pathlib import Path

from django.conf import settings

from webapp.core.errors import UserError
from webapp.registry import secrets
from webapp.registry.endpoints import check_endpoint
from webapp.registry.models import Model, ModelKind
from workers.spec.run import ModelInput

KEY_VARIABLE = "SHUYUAN_ENDPOINT_KEY"


def model_folder(model: Model) -> Path:
    """Where its files lie; UserError when it has none or they are gone."""
    folder = Path(settings.DATA_DIR) / model.path
    if not model.path or not folder.is_dir():
        raise UserError(
            "model.files_gone",
            "The files of “{name}” are not there; import or train it again.",
            status=409,
            name=model.name,
        )
    return folder


def token_fingerprint(model: Model) -> str:
    """What fixed conversations became when the model was trained; empty for models that were not trained here."""
    return str((model.card.get("token_identity") or {}).get("fingerprint", ""))


def model_input(model: Model) -> ModelInput:
    """The role of a model in a job: a folder; an adapter with its base's folder; or an endpoint, checked once more."""
    if model.kind == ModelKind.ENDPOINT:
        target = check_endpoint(model.endpoint_url)
        return ModelInput(
            id=model.pk,
            name=model.name,
            base_url=target.url,
            addresses=list(target.addresses),
            remote_name=model.endpoint_model,
        )
    recorded = {
        "sha256": model.weights_sha256,
        "template_hash": model.template_hash,
        "fingerprint": token_fingerprint(model),
    }
    if model.kind != ModelKind.ADAPTER:
        return ModelInput(id=model.pk, name=model.name, path=model_folder(model), **recorded)
    base = model.base
    if base is None or base.kind == ModelKind.ADAPTER:
        raise UserError(
            "model.adapter_without_base",
            "The LoRA adapter “{name}” lies on no full model; import its base and say so on the adapter's page.",
            status=409,
            name=model.name,
        )
    return ModelInput(id=model.pk, name=model.name, path=model_folder(base), adapter_path=model_folder(model), **recorded)


def endpoint_environment(model: Model) -> dict[str, str]:
    """The variables that a job on this model needs besides its run file: an endpoint's key."""
    key = secrets.decrypt(model.endpoint_key) if model.kind == ModelKind.ENDPOINT else ""
    return {KEY_VARIABLE: key} if key else {}

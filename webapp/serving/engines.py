"""The files of an engine process, what it is told when it starts, and what it tells back."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings

from webapp.core import storage
from webapp.core.errors import UserError
from webapp.registry.card import generation_defaults
from webapp.registry.inputs import model_folder, token_fingerprint
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.serving.models import Deployment
from workers.program import write_json
from workers.spec.serve import EngineRun, GenerationDefaults, ServeSpec

LOG_LIMIT = 5 * 2**20
TOKEN_VARIABLE = "SHUYUAN_ENGINE_TOKEN"  # noqa: S105  (the name of a variable)


def new_token() -> str:
    return secrets.token_urlsafe(24)


def directory(deployment_id: int) -> Path:
    return storage.folder("deployments", str(deployment_id))


def log_file(deployment_id: int) -> Path:
    return directory(deployment_id) / "engine.log"


def ready_file(deployment_id: int) -> Path:
    return directory(deployment_id) / "ready.json"


def error_file(deployment_id: int) -> Path:
    return directory(deployment_id) / "error.json"


def threads(spec: ServeSpec) -> int:
    """Compute threads: what was asked, else all cores but one, which the web needs."""
    return spec.threads or max(1, (os.cpu_count() or 2) - 1)


def require_servable(model: Model) -> None:
    """Refuse, in one sentence, what no engine can serve."""
    if model.kind == ModelKind.TOKENIZER:
        raise UserError(
            "deployment.not_servable",
            "“{name}” is a {kind} and has no weights to serve; choose a base model, a tuned model or an adapter.",
            name=model.name,
            kind=str(ModelKind(model.kind).label),
        )
    for part in (model, model.base if model.kind == ModelKind.ADAPTER else None):
        if part is not None and part.state != ModelState.READY:
            raise UserError(
                "deployment.model_not_ready",
                "The model “{name}” is {state}; deploy it when it is ready.",
                status=409,
                name=part.name,
                state=str(ModelState(part.state).label),
            )
    if model.kind == ModelKind.ADAPTER and model.base is None:
        raise UserError(
            "deployment.adapter_without_base", "The adapter “{name}” has no base model; import its base first.", name=model.name
        )


def engine_run(deployment: Deployment) -> EngineRun:
    """What `python -m workers.engine` is told; raises UserError when the model's files are gone."""
    model = deployment.model
    require_servable(model)
    weights = model.base if model.kind == ModelKind.ADAPTER and model.base else model
    return EngineRun(
        deployment=deployment.pk,
        served_name=deployment.name,
        model_path=str(model_folder(weights)),
        adapter_path=str(model_folder(model)) if weights is not model else None,
        cache_dir=str(storage.folder("cache", "engines")),
        host=settings.ENGINE_ADDRESS,
        port=0,
        ready_file=str(ready_file(deployment.pk)),
        error_file=str(error_file(deployment.pk)),
        spec=ServeSpec.model_validate(deployment.spec),
        generation=GenerationDefaults.model_validate(generation_defaults(model)),
        template_hash=model.template_hash,
        fingerprint=token_fingerprint(model),
    )


def prepare(run: EngineRun) -> Path:
    """Write `engine.json`, forget what an earlier engine told, and keep the log from growing for ever."""
    for stale in (Path(run.ready_file), Path(run.error_file)):
        stale.unlink(missing_ok=True)
    log = log_file(run.deployment)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    path = directory(run.deployment) / "engine.json"
    write_json(path, run.model_dump(mode="json"))
    return path


def read_told(path: Path) -> dict[str, Any] | None:
    """The JSON object that the engine wrote, or None while there is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def read_log(deployment_id: int, limit: int = 64 * 1024) -> str:
    """The last `limit` bytes of the engine's log, whole lines only."""
    path = log_file(deployment_id)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        text = file.read().decode("utf-8", errors="replace")
    return text.partition("\n")[2] if size > limit else text

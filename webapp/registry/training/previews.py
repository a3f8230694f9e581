"""A first example as the model will see it, before anything is started: the text and which of it is learnt."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError, translate
from webapp.datasets.models import DatasetVersion
from webapp.registry.access import access_ready_model
from webapp.registry.inputs import model_folder
from webapp.registry.models import Model, ModelKind
from webapp.registry.services import TRAINABLE
from webapp.registry.training.checks import first_records, missing_field, rendered, rendered_pair
from workers.data.templates import ChatTemplate, load_template


@lru_cache(maxsize=8)
def _template(folder: Path, _changed: int) -> ChatTemplate:
    return load_template(folder)


def template_of(model: Model) -> ChatTemplate:
    """The template that training with this base will use."""
    base = model.base if model.kind == ModelKind.ADAPTER and model.base is not None else model
    folder = model_folder(base)
    return _template(folder, folder.stat().st_mtime_ns)


def preview(
    user: User,
    workspace: Workspace,
    version: DatasetVersion,
    base_id: int,
    instruction: str | None,
    system_prompt: str | None,
    kind: str = "sft",
) -> dict[str, Any]:
    """{"spans": [{"text", "train", "tokens"}], "is_default": template} of the first usable record, or {"error": sentence}.

    For preferences {"pair": [chosen, rejected]} or {"pair": [answer], "good": verdict}. `kind`: as `checks.what_is_needed`.
    """
    try:
        template = template_of(access_ready_model(user, workspace, base_id, kinds=TRAINABLE))
        record = next((record for record in first_records(version, 20) if not missing_field(record, kind)), None)
        if kind in {"preference", "reward", "kto"}:
            pair = rendered_pair(template, record, system_prompt) if record is not None else []
            return {"pair": pair, "good": record.desirable if record is not None and len(pair) == 1 else None}
        spans = rendered(template, record, instruction, system_prompt) if record is not None else []
    except UserError as error:
        return {"error": translate(error.template, error.params)}
    return {"spans": spans, "is_default": template.is_default}

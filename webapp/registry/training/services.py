"""Starting a training run: rights, inputs, the check of the data, then a job."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.datasets.access import access_version
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.jobs.models import Job
from webapp.jobs.services import submit_job
from webapp.registry.access import access_ready_model
from webapp.registry.models import Model, ModelKind
from webapp.registry.registering import free_name
from webapp.registry.services import TRAINABLE
from webapp.registry.training.checks import require_usable, sample_prompts
from workers.spec.base import Spec
from workers.spec.train import GrpoSpec, PreferenceSpec, PretrainSpec, RewardSpec, SftSpec, TokenizerSpec

SPECS: dict[str, type[Spec]] = {
    "sft": SftSpec,
    "preference": PreferenceSpec,
    "reward": RewardSpec,
    "grpo": GrpoSpec,
    "pretrain": PretrainSpec,
    "tokenizer": TokenizerSpec,
}
TUNING = {"sft", "preference", "reward", "grpo"}
"""Kinds that start from a model and may train an adapter on it."""
TOKENIZER_SOURCES = [ModelKind.TOKENIZER, ModelKind.BASE, ModelKind.TUNED]


def spec_class(kind: str) -> type[Spec]:
    if kind not in SPECS:
        raise NotFound
    return SPECS[kind]


def start_training(*, user: User, slug: str, kind: str, values: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
    """Queue a run of `kind` (a key of SPECS) with the settings `values`; pydantic's ValidationError names bad ones."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    spec = spec_class(kind).model_validate(dict(values))
    for version_id in spec.datasets:  # type: ignore[attr-defined]
        require_usable(usable_version(user, workspace, version_id), kind, loss=getattr(spec, "loss", ""))
    _check_models(user, workspace, kind, spec)
    name: str = spec.name  # type: ignore[attr-defined]
    if Model.objects.filter(workspace=workspace, name=name).exists():
        raise UserError("model.name_taken", "There is already a model “{name}” here; choose another name.", status=409, name=name)
    return submit_job(user=user, workspace=workspace, kind=kind, spec=spec, name=name, idempotency_key=idempotency_key)


def usable_version(user: User, workspace: Workspace, version_id: int) -> DatasetVersion:
    """A ready dataset version of this workspace."""
    version = access_version(user, version_id)
    if version.dataset.workspace_id != workspace.pk:
        raise NotFound
    if version.state != VersionState.READY:
        raise UserError(
            "dataset.not_ready",
            "“{name}” is {state}; choose a version that is ready.",
            status=409,
            name=str(version),
            state=str(version.get_state_display()),
        )
    return version


def require_licence(model: Model) -> None:
    """UserError for a model whose licence the operator does not allow. What was trained from it has its licence, too."""
    allowed = {name.lower() for name in settings.ALLOWED_LICENCES}
    if not allowed or model.licence.lower() in allowed:
        return
    raise UserError(
        "model.licence_not_allowed",
        "The licence of “{name}” ({licence}) is not among those that are allowed here ({allowed}); choose another model, or "
        "name its licence on its page if it is one of these.",
        status=409,
        name=model.name,
        licence=model.licence or "?",
        allowed=", ".join(sorted(allowed)),
    )


def _check_models(user: User, workspace: Workspace, kind: str, spec: Any) -> None:
    if kind == "tokenizer":
        return
    if spec.base_model is not None:
        base = access_ready_model(user, workspace, spec.base_model, kinds=TRAINABLE)
        require_licence(base)
        if kind in TUNING and base.kind == ModelKind.ADAPTER and spec.method != "full":
            raise UserError(
                "sft.adapter_base",
                "“{name}” is itself a LoRA adapter, and a LoRA cannot lie on another; choose the method “all weights”, "
                "or merge the adapter first on its page.",
                name=base.name,
            )
    if kind == "pretrain" and spec.base_model is None:
        if spec.tokenizer is None:
            raise UserError("pretrain.no_tokenizer", "Choose a tokenizer, or a base model to continue.", status=422)
        access_ready_model(user, workspace, spec.tokenizer, kinds=TOKENIZER_SOURCES)


def start_from_form(*, user: User, slug: str, kind: str, values: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
    """As `start_training`, with what a form may leave open: a free name, and questions to watch during fine-tuning."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    filled = dict(values)
    if not filled.get("name"):
        filled["name"] = free_name(workspace, kind)
    watched = "sample_prompts" in spec_class(kind).model_fields
    if watched and not filled.get("sample_prompts") and filled.get("datasets"):
        version = usable_version(user, workspace, int(filled["datasets"][0]))
        filled["sample_prompts"] = sample_prompts(version)
    return start_training(user=user, slug=slug, kind=kind, values=filled, idempotency_key=idempotency_key)

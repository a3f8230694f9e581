"""Job kinds of training. When a run ends well, its model enters the registry with card, datasets and base."""

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.core.errors import NotFound
from webapp.datasets.files import version_path
from webapp.datasets.models import DatasetVersion
from webapp.jobs import paths
from webapp.jobs.kinds import JobKind, register
from webapp.jobs.models import Job
from webapp.registry.inputs import model_input
from webapp.registry.kinds import made_model, spec_model
from webapp.registry.models import Model, ModelKind
from webapp.registry.registering import register_model
from webapp.registry.training.runs import run_context
from workers.spec.base import Spec
from workers.spec.planner import MeasureSpec
from workers.spec.run import DatasetInput
from workers.spec.train import GrpoSpec, PreferenceSpec, PretrainSpec, RewardSpec, SftSpec, TokenizerSpec

ADAPTED = {"lora", "qlora"}
FIGURES = (
    "steps", "tokens", "supervised_tokens", "final_loss", "held_out_loss", "first_held_out_loss", "seconds",
    "tokens_per_second", "trainable_parameters", "examples", "held_out_examples", "documents", "dropped", "instruction",
    "characters_per_token", "texts", "characters", "held_out_accuracy", "held_out_margin", "held_out_reward",
    "best_step",
)  # fmt: skip


def versions(job: Job) -> list[DatasetVersion]:
    """The dataset versions of a job's spec, in its order."""
    found = (
        DatasetVersion.objects.select_related("dataset").filter(dataset__workspace=job.workspace_id).in_bulk(job.spec["datasets"])
    )
    if len(found) < len(set(job.spec["datasets"])):
        raise NotFound("dataset.gone", "A dataset that this job needs has been deleted.")
    return [found[version_id] for version_id in job.spec["datasets"]]


def dataset_input(version: DatasetVersion) -> DatasetInput:
    return DatasetInput(id=version.pk, name=str(version), path=version_path(version), sha256=version.sha256, count=version.count)


def training_inputs(job: Job) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for number, version in enumerate(versions(job), start=1):
        inputs["dataset" if number == 1 else f"dataset.{number}"] = dataset_input(version)
    if job.spec.get("base_model") is not None:
        inputs["base_model"] = model_input(spec_model(job, "base_model"))
    if job.spec.get("tokenizer") is not None:
        inputs["tokenizer"] = model_input(spec_model(job, "tokenizer"))
    return inputs


def training_environment(job: Job) -> dict[str, str]:
    """Tokens of a dataset are kept for later runs with the same tokenizer and template."""
    return {"SHUYUAN_CACHE": str(settings.DATA_DIR / "cache" / "tokens")}


def training_finished(job: Job) -> None:
    result = job.result or {}
    folder = paths.output_dir(job.pk) / ("adapter" if result.get("method") in ADAPTED and job.kind != "reward" else "model")
    base = _base(job)
    register_model(
        workspace=job.workspace,
        name=job.spec["name"],
        kind=_made_kind(job, str(result.get("method", ""))),
        folder=folder,
        base=base,
        job=job,
        datasets=versions(job),
        card={
            "method": result.get("method"),
            "figures": {key: result[key] for key in FIGURES if key in result},
            "spec": result.get("spec", job.spec),
            "resolved": result.get("resolved", {}),
            "token_identity": result.get("token_identity", {}),
        },
        created_by=job.created_by,
        family=base.family if base is not None and base.kind != ModelKind.TOKENIZER else job.spec["name"],
        languages=_languages(job) if base is None or base.kind == ModelKind.TOKENIZER else None,
    )


def _base(job: Job) -> Model | None:
    """The model that was continued; for a model from scratch, the one whose tokenizer it took."""
    for role in ("base_model", "tokenizer"):
        if job.spec.get(role) is not None:
            return spec_model(job, role)
    return None


def _made_kind(job: Job, method: str) -> str:
    if job.kind == "tokenizer":
        return ModelKind.TOKENIZER
    if job.kind == "pretrain":
        return ModelKind.BASE
    if job.kind == "reward":
        return ModelKind.REWARD
    return ModelKind.ADAPTER if method in ADAPTED else ModelKind.TUNED


def _languages(job: Job) -> list[str]:
    """Languages that the datasets say they hold."""
    found: dict[str, None] = {}
    for version in versions(job):
        languages = version.stats.get("languages") or {}
        found.update(dict.fromkeys(str(name) for name in languages if name and name != "und"))
    return list(found)


TRAINING_KINDS: list[tuple[str, Any, type[Spec], str, list[str]]] = [
    (
        "sft",
        _("Fine-tuning"),
        SftSpec,
        "adjustments",
        ["loss", "held_out_loss", "learning_rate", "tokens_per_second", "grad_norm", "mfu"],
    ),
    (
        "pretrain",
        _("Pre-training"),
        PretrainSpec,
        "books",
        ["loss", "held_out_loss", "learning_rate", "tokens_per_second", "grad_norm", "mfu"],
    ),
    (
        "preference",
        _("Preference training"),
        PreferenceSpec,
        "thumb-up",
        ["loss", "held_out_loss", "held_out_accuracy", "held_out_margin", "accuracy", "margin", "learning_rate", "grad_norm"],
    ),
    (
        "reward",
        _("Reward model"),
        RewardSpec,
        "gauge",
        ["loss", "held_out_loss", "held_out_accuracy", "held_out_margin", "accuracy", "margin", "learning_rate", "grad_norm"],
    ),
    (
        "grpo",
        _("Reinforcement"),
        GrpoSpec,
        "trophy",
        ["reward", "held_out_reward", "answer_tokens", "even_groups", "loss", "learning_rate", "grad_norm"],
    ),
    ("tokenizer", _("Tokenizer"), TokenizerSpec, "alphabet-latin", []),
]
for _name, _label, _spec, _icon, _curves in TRAINING_KINDS:
    register(
        JobKind(
            name=_name,
            label=_label,
            nav="training",
            spec=_spec,
            program="workers.train",
            icon=_icon,
            inputs=training_inputs,
            finished=training_finished,
            page=made_model,
            curves=_curves,
            partial="training/_run.html",
            context=run_context,
            environment=training_environment,
        )
    )
register(
    JobKind(
        name="measure",
        label=_("Speed of the machine"),
        nav="training",
        spec=MeasureSpec,
        program="workers.planner",
        resource="compute",
        icon="gauge",
        resumable=False,
        page=lambda job: reverse("planner", args=[job.workspace.slug]),
    )
)

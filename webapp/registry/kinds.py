"""Job kinds of the registry: import, export, merge."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.core.errors import NotFound
from webapp.core.events import publish
from webapp.jobs import paths
from webapp.jobs.kinds import JobKind, register
from webapp.jobs.models import Job
from webapp.registry.card import export_card
from webapp.registry.inputs import model_input
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.registering import register_model
from webapp.registry.services import allowed_roots
from workers.program import write_json
from workers.spec.registry import ExportModelSpec, ImportModelSpec, MergeModelSpec
from workers.spec.run import FileInput

FOLDER_KINDS = {"model": ModelKind.BASE, "adapter": ModelKind.ADAPTER, "tokenizer": ModelKind.TOKENIZER}


def spec_model(job: Job, role: str = "model") -> Model:
    """The model that a job's spec names under `role`, in the job's own workspace."""
    found = Model.objects.select_related("base").filter(workspace=job.workspace_id, pk=job.spec[role]).first()
    if found is None:
        raise NotFound("model.gone", "The model that this job needs has been deleted.")
    return found


def made_model(job: Job) -> str | None:
    """The page of the model that the job made."""
    made = Model.objects.filter(job=job).order_by("-pk").first()
    return reverse("model", args=[job.workspace.slug, made.pk]) if made else None


# Import


def import_inputs(job: Job) -> dict[str, Any]:
    folder = job.spec.get("folder")
    if not folder:
        return {}
    source = Path(folder)
    root = next((root for root in allowed_roots() if source.resolve().is_relative_to(root.resolve())), source)
    return {
        "source": FileInput(name=source.name, path=source),
        "root": FileInput(name=root.name or "root", path=root.resolve()),
    }


def import_finished(job: Job) -> None:
    spec = ImportModelSpec.model_validate(job.spec)
    row = Model.objects.filter(pk=spec.model, workspace=job.workspace_id).first()
    if row is not None and row.state == ModelState.READY and row.job_id != job.pk:
        row = None  # a clone of the job: the row that it names was filled by another one
    facts = (job.result or {}).get("facts", {})
    register_model(
        workspace=job.workspace,
        name=spec.name,
        kind=FOLDER_KINDS[facts.get("kind", "model")],
        folder=paths.output_dir(job.pk) / "model",
        base=row.base if row else None,
        job=job,
        card={"base_name": facts.get("base_name", "")},
        created_by=job.created_by,
        row=row,
        origin=spec.hub_id or spec.folder,
    )


def import_ended(job: Job) -> None:
    failed = Model.objects.filter(pk=job.spec["model"], job=job).exclude(state=ModelState.READY)
    error = {"code": job.error_code, "template": job.error_template, "params": job.error_params}
    if failed.update(state=ModelState.FAILED, error=error if job.error_code else {}):
        publish(f"workspace.{job.workspace_id}", model=job.spec["model"], state=ModelState.FAILED)


register(
    JobKind(
        name="import_model",
        label=_("Import a model"),
        spec=ImportModelSpec,
        program="workers.models",
        resource="light",
        icon="package-import",
        inputs=import_inputs,
        finished=import_finished,
        ended=import_ended,
        page=made_model,
    )
)

# Export


def export_inputs(job: Job) -> dict[str, Any]:
    model = spec_model(job)
    card = paths.run_dir(job.pk) / "card.json"
    write_json(card, export_card(model))
    return {"model": model_input(model), "card": FileInput(name=card.name, path=card)}


def export_page(job: Job) -> str | None:
    """The download itself; a folder stays on the server."""
    path = paths.output_dir(job.pk) / str((job.result or {}).get("file", "-"))
    return reverse("model_export_file", args=[job.workspace.slug, job.pk]) if path.is_file() else None


def export_context(job: Job) -> dict[str, Any]:
    result = job.result or {}
    path = paths.output_dir(job.pk) / str(result.get("file", "-"))
    shown = path.relative_to(settings.DATA_DIR) if path.is_dir() else None
    return {"export": result, "export_ready": path.is_file(), "export_folder": shown}


register(
    JobKind(
        name="export_model",
        label=_("Export a model"),
        spec=ExportModelSpec,
        program="workers.models",
        resource="light",
        icon="package-export",
        inputs=export_inputs,
        page=export_page,
        partial="registry/_export.html",
        context=export_context,
    )
)

# Merge


def merge_inputs(job: Job) -> dict[str, Any]:
    return {"model": model_input(spec_model(job))}


def merge_finished(job: Job) -> None:
    adapter = spec_model(job)
    register_model(
        workspace=job.workspace,
        name=job.spec["name"],
        kind=ModelKind.TUNED,
        folder=paths.output_dir(job.pk) / "model",
        base=adapter,
        job=job,
        datasets=adapter.datasets.all(),
        card={**adapter.card, "merged": adapter.name},
        created_by=job.created_by,
    )


register(
    JobKind(
        name="merge_model",
        label=_("Merge an adapter"),
        spec=MergeModelSpec,
        program="workers.models",
        icon="git-merge",
        inputs=merge_inputs,
        finished=merge_finished,
        page=made_model,
    )
)

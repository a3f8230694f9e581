"""The job kind `import_dataset`: an uploaded file becomes a version."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.datasets import building, indexes, media
from webapp.datasets.models import DatasetVersion, Upload, VersionState
from webapp.datasets.uploads import discard, upload_path
from webapp.jobs import paths
from webapp.jobs.kinds import Inputs, JobKind, register
from webapp.jobs.models import Job
from workers.spec.data import ImportDatasetSpec
from workers.spec.run import FileInput

logger = logging.getLogger(__name__)


def version_of(job: Job) -> DatasetVersion | None:
    """The version that the job builds, unless it was deleted meanwhile; a cloned job has none."""
    return DatasetVersion.objects.select_related("dataset__workspace", "job").filter(job=job).first()


def inputs(job: Job) -> Inputs:
    upload = Upload.objects.filter(pk=job.spec["upload"], workspace_id=job.workspace_id).first()
    version = version_of(job)
    if upload is None or version is None or not upload_path(upload).is_file():
        raise UserError("dataset.upload_gone", "The uploaded file has been imported or removed already; upload it again.")
    storage.require_space(2 * upload.size)
    DatasetVersion.objects.filter(pk=version.pk, state=VersionState.FAILED).update(state=VersionState.BUILDING)
    return {"upload": FileInput(name=upload.name, path=upload_path(upload))}


def finished(job: Job) -> None:
    """Put the file in its place, note what the program found, make the rows, then forget the upload."""
    version = version_of(job)
    if version is None:
        logger.info("job %s: its version was deleted", job.pk)
        return
    if version.state != VersionState.READY:
        result = job.result or {}
        records = paths.output_dir(job.pk) / "records.jsonl"
        if records.exists():
            building.place(version, records)
        if version.sha256 and version.sha256 == result.get("sha256"):
            indexes.adopt_index(paths.output_dir(job.pk) / "records.index", version.sha256, int(result["count"]))
        media.adopt(version, paths.output_dir(job.pk) / "media")
        _keep_errors(version, job, int(result.get("refused", 0)))
        kept = {
            name: result[name] for name in ("format", "container", "encoding", "mapping", "refused_by_code") if name in result
        }
        DatasetVersion.objects.filter(pk=version.pk).update(recipe={**version.recipe, **kept})
        version.refresh_from_db()
        building.fill(version, counted(job))
        record_audit(actor=job.created_by, workspace=job.workspace, action="dataset.version", subject=str(version), job=job.pk)
    for upload in Upload.objects.filter(pk=job.spec["upload"], workspace_id=job.workspace_id):
        discard(upload)


def counted(job: Job) -> dict[str, Any] | None:
    """The program's own statistics, so that nothing is counted twice; None when it left none."""
    try:
        stats = json.loads((paths.output_dir(job.pk) / "stats.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    stats.pop("import", None)
    return stats if stats.get("count") == (job.result or {}).get("count") else None


def _keep_errors(version: DatasetVersion, job: Job, refused: int) -> None:
    report = paths.output_dir(job.pk) / "errors.jsonl"
    if refused and report.exists():
        kept = storage.folder("datasets", "errors", str(version.pk)) / "errors.jsonl"
        shutil.copyfile(report, kept)
        version.errors_path = str(kept.relative_to(Path(settings.DATA_DIR)))
    DatasetVersion.objects.filter(pk=version.pk).update(refused=refused, errors_path=version.errors_path)


def ended(job: Job) -> None:
    """Failed or cancelled: the version says so, and the report of refused rows stays."""
    version = version_of(job)
    if version is None or version.state == VersionState.READY:
        return
    artifact = job.artifacts.filter(name="errors").first()
    _keep_errors(version, job, int(artifact.details.get("count", 0)) if artifact else 0)
    DatasetVersion.objects.filter(pk=version.pk, state=VersionState.BUILDING).update(state=VersionState.FAILED)
    publish(f"workspace.{job.workspace_id}", version=version.pk, state=VersionState.FAILED)


def page(job: Job) -> str | None:
    version = version_of(job)
    return reverse("dataset_version", args=[job.workspace.slug, version.pk]) if version else None


register(
    JobKind(
        name="import_dataset",
        label=_("Import a dataset"),
        spec=ImportDatasetSpec,
        program="workers.data",
        resource="light",
        icon="file-import",
        inputs=inputs,
        finished=finished,
        ended=ended,
        page=page,
    )
)

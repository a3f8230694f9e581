"""The job kind `process_dataset`: a version becomes a cleaner one."""

import logging
import shutil
from pathlib import Path

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.datasets import building, files
from webapp.datasets.models import DatasetVersion, VersionMedia, VersionState
from webapp.jobs import paths
from webapp.jobs.kinds import Inputs, JobKind, register
from webapp.jobs.models import Job
from workers.spec.processing import ProcessDatasetSpec
from workers.spec.run import DatasetInput, FileInput

logger = logging.getLogger(__name__)
KIND = "process_dataset"
KEPT = ("report.json", "dropped.jsonl")


def version_of(job: Job) -> DatasetVersion | None:
    """The version that the job builds."""
    return DatasetVersion.objects.select_related("dataset__workspace", "job", "parent__dataset").filter(job=job).first()


def kept_folder(version: DatasetVersion) -> Path:
    """Where the report and the dropped records of a processed version lie."""
    return storage.folder("datasets", "processing", str(version.pk))


def inputs(job: Job) -> Inputs:
    """The versions to read. A job that was run again («Run again») gets a version of its own."""
    spec = ProcessDatasetSpec.model_validate(job.spec)
    versions = DatasetVersion.objects.select_related("dataset").filter(dataset__workspace_id=job.workspace_id)
    found = versions.in_bulk(spec.datasets)
    missing = [number for number in spec.datasets if number not in found]
    if missing:
        raise UserError(
            "processing.source_gone", "A dataset version that the job reads has been deleted (number {id}); start anew.",
            status=409, id=missing[0],
        )  # fmt: skip
    source = found[spec.datasets[0]]
    storage.require_space(4 * source.bytes)
    if version_of(job) is None:
        next_version(source, spec, job=job, created_by=job.created_by)
    DatasetVersion.objects.filter(job=job, state=VersionState.FAILED).update(state=VersionState.BUILDING)
    roles = ["dataset", *(f"dataset.{number}" for number in range(2, len(spec.datasets) + 1))]
    read = {role: _input(found[number]) for role, number in zip(roles, spec.datasets, strict=True)}
    held = paths.run_dir(job.pk) / "held.txt"
    digests = VersionMedia.objects.filter(version=source).order_by("sha256").values_list("sha256", flat=True)
    storage.write_atomically(held, (f"{digest}\n".encode() for digest in digests.iterator(chunk_size=10_000)))
    media = FileInput(name="media", path=storage.folder("media"))
    return {**read, "media": media, "held": FileInput(name="held", path=held)}


def _input(version: DatasetVersion) -> DatasetInput:
    path = files.version_path(version)
    return DatasetInput(id=version.pk, name=str(version), path=path, sha256=version.sha256, count=version.count)


def next_version(source: DatasetVersion, spec: ProcessDatasetSpec, **fields: object) -> DatasetVersion:
    """The row of the version to be made; its recipe is what will be done."""
    recipe = {"processed": spec.stages.model_dump(mode="json"), "of": source.pk, "of_sha256": source.sha256}
    return building.next_version(source.dataset, parent=source, origin=str(source)[:200], recipe=recipe, **fields)


def finished(job: Job) -> None:
    """Keep the report and the dropped records, put the file in its place, make the rows. Repeatable."""
    version = version_of(job)
    if version is None:
        logger.info("job %s: its version was deleted", job.pk)
        return
    _keep(version, job)
    if version.state == VersionState.READY:
        return
    records = paths.output_dir(job.pk) / "records.jsonl"
    if records.exists():
        building.place(version, records)
    recipe = {**version.recipe, "funnel": (job.result or {}).get("funnel", [])}
    DatasetVersion.objects.filter(pk=version.pk).update(recipe=recipe)
    version.refresh_from_db()
    building.fill(version)
    shutil.rmtree(paths.run_dir(job.pk) / "work", ignore_errors=True)
    record_audit(actor=job.created_by, workspace=job.workspace, action="dataset.process", subject=str(version), job=job.pk)


def _keep(version: DatasetVersion, job: Job) -> None:
    for name in KEPT:
        made = paths.output_dir(job.pk) / name
        if made.exists():
            shutil.move(made, kept_folder(version) / name)


def ended(job: Job) -> None:
    """Failed or cancelled: the version says so; a report of what was dropped stays."""
    version = version_of(job)
    if version is None or version.state == VersionState.READY:
        return
    _keep(version, job)
    DatasetVersion.objects.filter(pk=version.pk, state=VersionState.BUILDING).update(state=VersionState.FAILED)
    publish(f"workspace.{job.workspace_id}", version=version.pk, state=VersionState.FAILED)


def page(job: Job) -> str | None:
    version = version_of(job)
    return reverse("processing_report", args=[job.workspace.slug, version.pk]) if version else None


register(
    JobKind(
        name=KIND,
        label=_("Process a dataset"),
        spec=ProcessDatasetSpec,
        program="workers.data.processing",
        resource="light",
        icon="filter",
        inputs=inputs,
        finished=finished,
        ended=ended,
        page=page,
    )
)

"""The job kinds `derive_dataset` (versions from a version) and `store_records` (a version from records that the web wrote)."""

from django.utils.translation import gettext_lazy as _

from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.datasets import building, files, storing
from webapp.datasets.indexes import open_index
from webapp.datasets.kinds import counted, page, version_of
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.jobs import paths
from webapp.jobs.kinds import Inputs, JobKind, register
from webapp.jobs.models import Job
from workers.spec.deriving import DeriveSpec, StoreSpec, output_files
from workers.spec.run import DatasetInput, FileInput


def derive_inputs(job: Job) -> Inputs:
    """The version that is read; its index must lie beside it, because the program asks it."""
    source = DatasetVersion.objects.select_related("dataset").filter(pk=job.spec["datasets"][0]).first()
    if source is None or source.dataset.workspace_id != job.workspace_id:
        raise UserError("dataset.source_gone", "The version that this job reads has been deleted; start from another.")
    path = files.version_path(source)
    open_index(source)
    storage.require_space(len(job.spec["outputs"]) * source.bytes)
    DatasetVersion.objects.filter(job=job, state=VersionState.FAILED).update(state=VersionState.BUILDING)
    return {
        "dataset": DatasetInput(id=source.pk, name=str(source), path=path, sha256=source.sha256, count=source.count),
    }


def derive_finished(job: Job) -> None:
    """Each file to its place, then its rows; a version that was deleted meanwhile is left out."""
    files = output_files(paths.output_dir(job.pk), len(job.spec["outputs"]))
    for version_id, file in zip(job.spec["outputs"], files, strict=True):
        version = DatasetVersion.objects.select_related("dataset").filter(pk=version_id, job=job).first()
        if version is None or version.state == VersionState.READY:
            continue
        if file.exists():
            building.place(version, file)
        building.fill(version)
        record_audit(actor=job.created_by, workspace=job.workspace, action="dataset.version", subject=str(version), job=job.pk)


def store_inputs(job: Job) -> Inputs:
    """The records as the source gives them now, written down for the program."""
    version = version_of(job)
    if version is None:
        raise UserError("dataset.source_gone", "The version that this job reads has been deleted; start from another.")
    DatasetVersion.objects.filter(pk=version.pk, state=VersionState.FAILED).update(state=VersionState.BUILDING)
    path = paths.run_dir(job.pk) / "source.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    building.write_canonical(storing.records_of(job.spec["source"], job.spec["parameters"])).replace(path)
    return {"records": FileInput(name=path.name, path=path)}


def store_finished(job: Job) -> None:
    version = version_of(job)
    if version is None or version.state == VersionState.READY:
        return
    file = paths.output_dir(job.pk) / "records.jsonl"
    if file.exists():
        building.place(version, file)
    building.fill(version, counted(job))
    (paths.run_dir(job.pk) / "source.jsonl").unlink(missing_ok=True)
    record_audit(actor=job.created_by, workspace=job.workspace, action="dataset.version", subject=str(version), job=job.pk)


def derive_ended(job: Job) -> None:
    DatasetVersion.objects.filter(job=job, state=VersionState.BUILDING).update(state=VersionState.FAILED)
    publish(f"workspace.{job.workspace_id}", job=job.pk, state=VersionState.FAILED)


register(
    JobKind(
        name="derive_dataset",
        label=_("Make versions from a version"),
        spec=DeriveSpec,
        program="workers.data",
        resource="light",
        icon="arrows-split-2",
        inputs=derive_inputs,
        finished=derive_finished,
        ended=derive_ended,
        page=page,
    )
)

register(
    JobKind(
        name="store_records",
        label=_("Make a version from labels"),
        spec=StoreSpec,
        program="workers.data",
        resource="light",
        icon="tags",
        inputs=store_inputs,
        finished=store_finished,
        ended=derive_ended,
        page=page,
    )
)

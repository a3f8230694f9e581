"""What people do with datasets: create, import, rename, delete. Versions never change once they are ready."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets import building, media
from webapp.datasets.access import access_dataset, access_upload, access_version
from webapp.datasets.lineage import require_unused
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, Upload, VersionState
from webapp.datasets.uploads import require_complete
from webapp.datasets.words import clean
from webapp.jobs.models import ALIVE, Job
from webapp.jobs.services import submit_job
from workers.data.records import read_records
from workers.spec.data import ImportDatasetSpec
from workers.spec.record import Record

DELETED_ROWS = 5000


def create_dataset(*, user: User, slug: str, name: str, description: str = "") -> Dataset:
    """An empty dataset; names differ within a workspace."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    name = _checked_name(name)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                workspace=workspace, name=name, description=clean(description).strip(), created_by=user
            )
    except IntegrityError as error:
        raise _name_taken(name) from error
    record_audit(actor=user, workspace=workspace, action="dataset.create", subject=name)
    return dataset


def _checked_name(name: str) -> str:
    name = " ".join(clean(name).split())
    if not name:
        raise UserError("dataset.no_name", "The dataset has no name; give it one.", status=422)
    if len(name) > 120:
        raise UserError("dataset.long_name", "The name is longer than 120 characters; shorten it.", status=422)
    return name


def _name_taken(name: str) -> UserError:
    return UserError(
        "dataset.name_taken", "There is already a dataset “{name}” here; choose another name.", status=409, name=name
    )


def update_dataset(*, user: User, dataset_id: int, name: str | None = None, description: str | None = None) -> Dataset:
    dataset = access_dataset(user, dataset_id, role=Role.MANAGER)
    changes: dict[str, str] = {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if description is not None:
        changes["description"] = clean(description).strip()
    try:
        with transaction.atomic():
            Dataset.objects.filter(pk=dataset.pk).update(**changes)
    except IntegrityError as error:
        raise _name_taken(changes["name"]) from error
    record_audit(actor=user, workspace=dataset.workspace, action="dataset.update", subject=dataset.name, **changes)
    dataset.refresh_from_db()
    return dataset


def import_new_dataset(
    *, user: User, slug: str, upload_id: int, name: str, description: str = "", **options: Any
) -> DatasetVersion:
    """A new dataset whose first version comes from an uploaded file. Nothing is left when the file cannot be imported."""
    access_workspace(user, slug, role=Role.MANAGER)
    upload = access_upload(user, upload_id)
    if running := _running_import(upload):
        return running
    with transaction.atomic():
        dataset = create_dataset(user=user, slug=slug, name=name or Path(upload.name).stem, description=description)
        return import_upload(user=user, dataset_id=dataset.pk, upload_id=upload_id, **options)


def import_upload(
    *,
    user: User,
    dataset_id: int,
    upload_id: int,
    format: str = "auto",
    encoding: str = "auto",
    mapping: Mapping[str, str] | None = None,
    language: str | None = None,
    licence: str | None = None,
    domain: str | None = None,
) -> DatasetVersion:
    """Queue the job that turns an uploaded file into the next version. The same upload is imported once."""
    dataset = access_dataset(user, dataset_id, role=Role.MANAGER)
    upload = access_upload(user, upload_id)
    require_complete(upload)
    if running := _running_import(upload):
        return running
    with transaction.atomic():
        version = building.next_version(dataset, origin=upload.name[:200], created_by=user, recipe={"upload": upload.pk})
        spec = ImportDatasetSpec.model_validate(
            {
                "dataset": dataset.pk,
                "version": version.pk,
                "upload": upload.pk,
                "format": format,
                "encoding": encoding,
                "mapping": {field: column for field, column in (mapping or {}).items() if column},
                "language": language or None,
                "licence": licence or None,
                "domain": domain or None,
            }
        )
        version.job = submit_job(
            user=user, workspace=dataset.workspace, kind="import_dataset", spec=spec, name=f"{dataset.name} ← {upload.name}"
        )
        version.save(update_fields=["job"])
    return version


def _running_import(upload: Upload) -> DatasetVersion | None:
    building_now = DatasetVersion.objects.filter(state=VersionState.BUILDING, recipe__upload=upload.pk)
    return building_now.select_related("dataset", "job").first()


def create_version_from_records(
    *,
    user: User,
    dataset_id: int,
    records: Iterable[Record],
    origin: str,
    parent: DatasetVersion | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> DatasetVersion:
    """A ready version from records, at once and without a job: label exports, splits, the demo."""
    dataset = access_dataset(user, dataset_id, role=Role.MANAGER)
    version = building.build(dataset, records, origin=origin[:200], parent=parent, recipe=dict(recipe or {}), created_by=user)
    record_audit(actor=user, workspace=dataset.workspace, action="dataset.version", subject=str(version), origin=origin)
    return version


def create_version_from_file(*, user: User, dataset_id: int, path: Path, origin: str = "") -> DatasetVersion:
    """A ready version from a canonical JSONL file on this machine; the file itself is left where it is."""
    return create_version_from_records(user=user, dataset_id=dataset_id, records=read_records(path), origin=origin or path.name)


def get_or_create_dataset(*, user: User, workspace: Workspace, name: str, description: str = "") -> Dataset:
    """The dataset of this name, made when missing: a second split or label export becomes its next version."""
    access_workspace(user, workspace.slug, role=Role.MANAGER)
    found = Dataset.objects.filter(workspace=workspace, name=_checked_name(name)).first()
    return found or create_dataset(user=user, slug=workspace.slug, name=name, description=description)


def delete_version(*, user: User, version_id: int) -> None:
    """Remove a version that nothing was made from."""
    version = access_version(user, version_id, role=Role.MANAGER)
    require_unused([version])
    _remove(version)
    record_audit(actor=user, workspace=version.dataset.workspace, action="dataset.delete_version", subject=str(version))


def delete_dataset(*, user: User, dataset_id: int) -> None:
    """Remove a dataset with its versions, unless something was made from one of them."""
    dataset = access_dataset(user, dataset_id, role=Role.MANAGER)
    versions = list(dataset.versions.select_related("dataset"))
    require_unused(versions)
    for version in versions:
        _remove(version)
    dataset.delete()
    record_audit(actor=user, workspace=dataset.workspace, action="dataset.delete", subject=dataset.name)


def _remove(version: DatasetVersion) -> None:
    """Rows in portions, so that deleting a million of them keeps nobody waiting; then the version and its files."""
    if version.job_id and Job.objects.filter(pk=version.job_id, state__in=ALIVE).exists():
        raise UserError(
            "dataset.being_built", "{version} is being built; cancel its job first.", status=409, version=str(version)
        )
    DatasetVersion.objects.filter(pk=version.pk).update(state=VersionState.FAILED)
    rows = RecordRow.objects.filter(version=version)
    while chunk := list(rows.values_list("pk", flat=True)[:DELETED_ROWS]):
        RecordRow.objects.filter(pk__in=chunk).delete()
    number, path, errors_path = version.pk, version.path, version.errors_path
    media.release(version)
    version.delete()
    building.discard_file(path)
    if errors_path:
        shutil.rmtree(storage.folder("datasets", "errors") / str(number), ignore_errors=True)
    shutil.rmtree(storage.folder("datasets", "processing") / str(number), ignore_errors=True)

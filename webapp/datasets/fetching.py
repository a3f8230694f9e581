"""Datasets from Hugging Face and ModelScope: a job downloads their data files, which then are an upload like any other."""

import shutil
from urllib.parse import urlencode

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User
from webapp.core.errors import UserError
from webapp.datasets.models import Upload
from webapp.datasets.uploads import upload_path
from webapp.jobs import paths
from webapp.jobs.kinds import Inputs, JobKind, register
from webapp.jobs.models import Job
from webapp.jobs.services import submit_job
from workers.hubs import Repository
from workers.spec.data import FetchDatasetSpec


def start_fetch(*, user: User, slug: str, hub: str, hub_id: str, revision: str = "", file: str = "") -> Job:
    """Queue the download of a dataset; when it has ended, its upload can be previewed and imported."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    hub_id = hub_id.strip().strip("/")
    Repository("huggingface", "datasets", hub_id)
    with transaction.atomic():
        upload = Upload.objects.create(workspace=workspace, created_by=user, name=hub_id[:255], size=1)
        try:
            spec = FetchDatasetSpec.model_validate(
                {"upload": upload.pk, "hub": hub, "hub_id": hub_id, "revision": revision.strip(), "file": file.strip()}
            )
        except ValidationError as error:
            raise UserError(
                "hub.bad_request",
                "The hub, version or file cannot be used ({detail}); correct it.",
                status=422,
                detail=error.errors(include_url=False)[0]["msg"],
            ) from error
        return submit_job(user=user, workspace=workspace, kind="fetch_dataset", spec=spec, name=hub_id)


def inputs(job: Job) -> Inputs:
    if not Upload.objects.filter(pk=job.spec["upload"], workspace_id=job.workspace_id).exists():
        raise UserError("dataset.upload_gone", "The uploaded file has been imported or removed already; upload it again.")
    return {}


def finished(job: Job) -> None:
    """Put the file where uploads lie; a second call finds it there."""
    upload = Upload.objects.filter(pk=job.spec["upload"], workspace_id=job.workspace_id).first()
    if upload is None:
        return
    upload.name = str((job.result or {})["file"])[:255]
    made, target = paths.output_dir(job.pk) / upload.name, upload_path(upload)
    if made.is_file() and not target.is_file():
        shutil.move(made, target)
    size = target.stat().st_size
    Upload.objects.filter(pk=upload.pk).update(name=upload.name, size=size, offset=size)


def page(job: Job) -> str | None:
    """The preview of what was fetched."""
    upload = Upload.objects.filter(pk=job.spec["upload"], workspace_id=job.workspace_id).first()
    if upload is None or not upload.is_complete:
        return None
    return f"{reverse('dataset_import', args=[job.workspace.slug])}?{urlencode({'upload': upload.pk})}"


register(
    JobKind(
        name="fetch_dataset",
        label=_("Fetch a dataset"),
        spec=FetchDatasetSpec,
        program="workers.data",
        resource="light",
        icon="download",
        inputs=inputs,
        finished=finished,
        page=page,
    )
)

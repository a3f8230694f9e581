"""Reads of lists and pages of datasets."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.paging import Page, paginate
from webapp.datasets.access import access_dataset, access_version
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState


def list_datasets(*, user: User, slug: str, cursor: str | None = None, limit: int = 50, search: str = "") -> Page[Dataset]:
    """Newest first; each has `.latest`, its newest ready version (or its newest at all), and `.latest_number`."""
    workspace = access_workspace(user, slug)
    found: QuerySet[Any] = Dataset.objects.filter(workspace=workspace)
    if search:
        found = found.filter(name__icontains=search)
    newest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number")
    ready = newest.filter(state=VersionState.READY)
    found = found.annotate(newest_id=Subquery(newest.values("pk")[:1]), ready_id=Subquery(ready.values("pk")[:1]))
    page: Page[Any] = paginate(found, cursor=cursor, limit=limit)
    wanted = {dataset.ready_id or dataset.newest_id for dataset in page.items}
    versions = DatasetVersion.objects.select_related("job").in_bulk(wanted - {None})
    for dataset in page.items:
        dataset.latest = versions.get(dataset.ready_id or dataset.newest_id)
    return page


def list_versions(*, user: User, dataset_id: int, cursor: str | None = None, limit: int = 50) -> Page[DatasetVersion]:
    """The time line of a dataset, newest first."""
    dataset = access_dataset(user, dataset_id)
    versions = dataset.versions.select_related("job", "parent__dataset", "created_by", "dataset__workspace")
    return paginate(versions, cursor=cursor, limit=limit, order="-number")


def ready_versions(*, user: User, slug: str, limit: int = 500) -> QuerySet[DatasetVersion]:
    """What can be labelled, trained on or evaluated with: for the choosers of forms, newest first."""
    workspace = access_workspace(user, slug)
    found = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY)
    return found.select_related("dataset__workspace").order_by("-pk")[:limit]


def list_records(
    *,
    user: User,
    version_id: int,
    cursor: str | None = None,
    limit: int = 50,
    label: str = "",
    language: str = "",
    search: str = "",
) -> Page[RecordRow]:
    """Records in their order, filtered by label, language and words."""
    version = access_version(user, version_id)
    rows = RecordRow.objects.filter(version=version)
    if label:
        rows = rows.filter(label=label)
    if language:
        rows = rows.filter(language="" if language == "unknown" else language)
    for word in search.split()[:8]:
        rows = rows.filter(text__icontains=word)
    return paginate(rows, cursor=cursor, limit=limit, order="position")

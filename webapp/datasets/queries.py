"""Reads of lists and pages of datasets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.db.models import OuterRef, Q, QuerySet, Subquery

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.core.paging import MAXIMUM_LIMIT, Page, bad_cursor, decode, encode, paginate
from webapp.datasets.access import access_dataset, access_version
from webapp.datasets.composition import datasets_with
from webapp.datasets.indexes import open_index
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState
from workers.spec.filters import RecordFilter


def list_datasets(
    *,
    user: User,
    slug: str,
    cursor: str | None = None,
    limit: int = 50,
    search: str = "",
    values: Mapping[str, list[str]] | None = None,
    ranges: Mapping[str, tuple[Any, Any]] | None = None,
) -> Page[Dataset]:
    """Newest first, filtered by name and description, facets of the records, and numbers of the newest version.

    Each has `.latest`, its newest ready version (or its newest at all).
    """
    workspace = access_workspace(user, slug)
    found: QuerySet[Any] = Dataset.objects.filter(workspace=workspace)
    if values or ranges:
        found = datasets_with(workspace, values or {}, ranges or {})
    for word in search.split()[:8]:
        found = found.filter(Q(name__icontains=word) | Q(description__icontains=word))
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


@dataclass(frozen=True)
class RecordPage:
    """Records in the order of a filter. `total` and `start` (the number of records before the first) are None for full text."""

    items: list[RecordRow]
    next_cursor: str | None
    previous_cursor: str | None = None
    last_cursor: str | None = None
    total: int | None = None
    start: int | None = None

    @property
    def end(self) -> int | None:
        return None if self.start is None else self.start + len(self.items)


def list_records(
    *, user: User, version_id: int, wanted: RecordFilter | None = None, cursor: str | None = None, limit: int = 50
) -> RecordPage:
    """The records of a ready version that pass a filter; the last page costs what the first does."""
    version = access_version(user, version_id)
    return page_of(version, wanted or RecordFilter(), cursor=cursor, limit=max(1, min(limit, MAXIMUM_LIMIT)))


def page_of(version: DatasetVersion, wanted: RecordFilter, *, cursor: str | None = None, limit: int = 50) -> RecordPage:
    """`list_records` of a version that the caller has been let see."""
    after = _rank(cursor)
    if version.state != VersionState.READY:
        return RecordPage([], None, total=0, start=0)
    found = open_index(version).page(wanted, after=after, limit=limit)
    rows = {row.position: row for row in RecordRow.objects.filter(version=version, position__in=found.positions)}
    items = [rows[position] for position in found.positions if position in rows]
    following, previous, last = (_cursor(rank) for rank in (found.following, found.previous, found.last))
    return RecordPage(items, following, previous, last, found.total, found.start)


def neighbours(version: DatasetVersion, wanted: RecordFilter, position: int) -> tuple[int | None, int | None, int, int]:
    """Positions before and after a record, its number and the number of all, within the filter when it chooses the record."""
    if not wanted.is_empty or wanted.sort:
        found = open_index(version).neighbours(wanted, position)
        if found is not None:
            return found
    following = position + 1 if position + 1 < version.count else None
    return (position - 1 if position else None), following, position + 1, version.count


def _rank(cursor: str | None) -> int:
    rank = decode(cursor) if cursor else -1
    if not isinstance(rank, int) or isinstance(rank, bool) or not -1 <= rank < 1 << 62:
        raise bad_cursor()
    return rank


def _cursor(rank: int | None) -> str | None:
    return None if rank is None else encode(rank)


def facet_counts(version: DatasetVersion, wanted: RecordFilter) -> dict[str, dict[str, list[int]]]:
    """facet → value → [records, bytes] among the records that pass the other conditions; words are not looked at."""
    if not (wanted.values or wanted.ranges or wanted.ids or wanted.positions is not None) and "facets" in version.stats:
        return cast("dict[str, dict[str, list[int]]]", version.stats["facets"])
    index = open_index(version)
    counts = index.facets(index.mask(wanted))
    for name in wanted.values:
        others = {facet: chosen for facet, chosen in wanted.values.items() if facet != name}
        counts[name] = index.distribution(name, index.mask(wanted.model_copy(update={"values": others})))
    return counts

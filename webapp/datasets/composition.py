"""What the data of a workspace is made of, and the search over all of it: the newest ready version of every dataset counts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User, Workspace
from webapp.core.paging import bad_cursor, decode, encode
from webapp.datasets.indexes import open_index
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, VersionState
from workers.spec.filters import NONE, RecordFilter

COMPOSED = ("modality", "domain", "language", "source")
"""The facets that the composition chart shows."""
LISTED = ("modality", "kind", "language", "domain", "licence", "source", "state", "split")
"""The facets by which datasets are filtered."""
SEARCH_SECONDS = 0.4
HITS = 3
Facets = dict[str, dict[str, list[int]]]


def latest_versions(workspace: Workspace) -> QuerySet[DatasetVersion]:
    """The newest ready version of every dataset."""
    newest = DatasetVersion.objects.filter(dataset=OuterRef("dataset"), state=VersionState.READY).order_by("-number")
    versions = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY)
    return versions.annotate(newest=Subquery(newest.values("pk")[:1])).filter(pk=F("newest"))


def having(values: Mapping[str, list[str]]) -> Q:
    """Versions in which records have one of the values of each facet; as far as their statistics name it."""
    condition = Q()
    for name, chosen in values.items():
        either = Q()
        for value in chosen:
            either |= Q(**{f"stats__facets__{name}__has_key": "" if value == NONE else value})
        condition &= either
    return condition


def workspace_facets(workspace: Workspace, names: tuple[str, ...] = LISTED) -> Facets:
    """facet → value → [records, bytes] over the newest versions, the most frequent first."""
    total: dict[str, dict[str, list[int]]] = {name: {} for name in names}
    rows = latest_versions(workspace).values_list(*(f"stats__facets__{name}" for name in names))
    for row in rows:
        for name, counts in zip(names, row, strict=True):
            for value, (records, size) in (counts or {}).items():
                sums = total[name].setdefault(value, [0, 0])
                sums[0] += records
                sums[1] += size
    return {name: dict(sorted(values.items(), key=lambda item: -item[1][0])) for name, values in total.items()}


@dataclass(frozen=True)
class Hits:
    """The first records of a version that pass; `more`: there are others."""

    version: DatasetVersion
    rows: list[RecordRow]
    more: bool


@dataclass(frozen=True)
class SearchPage:
    """`searched` datasets were looked at on this page; with a `next_cursor` others wait."""

    items: list[Hits]
    searched: int
    next_cursor: str | None


def search_records(*, user: User, slug: str, wanted: RecordFilter, cursor: str | None = None, limit: int = 10) -> SearchPage:
    """Records of all datasets, newest datasets first. A page ends after `limit` datasets with hits or SEARCH_SECONDS."""
    workspace = access_workspace(user, slug)
    versions = latest_versions(workspace).select_related("dataset")
    if cursor:
        last = decode(cursor)
        if not isinstance(last, int) or isinstance(last, bool):
            raise bad_cursor()
        versions = versions.filter(dataset_id__lt=last)
    facets = {name: values for name, values in wanted.values.items() if name not in {"label", "source"}}
    found: list[Hits] = []
    deadline, searched, last_id = time.monotonic() + SEARCH_SECONDS, 0, 0
    for version in versions.filter(having(facets)).order_by("-dataset_id").iterator(chunk_size=50):
        if len(found) == limit or (searched and time.monotonic() > deadline):
            return SearchPage(found, searched, encode(last_id))
        searched, last_id = searched + 1, version.dataset_id
        page = open_index(version).page(wanted, limit=HITS)
        if page.positions:
            rows = RecordRow.objects.filter(version=version, position__in=page.positions).order_by("position")
            found.append(Hits(version, list(rows), page.following is not None))
    return SearchPage(found, searched, None)


RANGES = {"count": "count", "bytes": "bytes", "date": "created_at__date"}
"""Numbers by which datasets are filtered: records, size and day of the newest version."""


def datasets_with(
    workspace: Workspace, values: Mapping[str, list[str]], ranges: Mapping[str, tuple[Any, Any]]
) -> QuerySet[Dataset]:
    """Datasets whose newest ready version has such records and such a size and date."""
    versions = latest_versions(workspace).filter(having(values))
    for name, (least, most) in ranges.items():
        bounds = {f"{RANGES[name]}__gte": least, f"{RANGES[name]}__lte": most}
        versions = versions.filter(**{key: bound for key, bound in bounds.items() if bound is not None})
    return Dataset.objects.filter(workspace=workspace, pk__in=versions.values("dataset"))

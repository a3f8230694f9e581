"""The API of this app, below /api/v1/: uploads, datasets, their versions, records and downloads."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse, QueryDict
from ninja import Query, Router, Status

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role
from webapp.core.errors import NotFound, error_body
from webapp.datasets import comparing, composition, deriving, exports, queries, saved_views, services, uploads
from webapp.datasets.access import access_dataset, access_upload, access_version
from webapp.datasets.fetching import start_fetch
from webapp.datasets.files import ready_version
from webapp.datasets.filtering import dataset_conditions, from_query
from webapp.datasets.lineage import uses
from webapp.datasets.models import Dataset, VersionState
from webapp.datasets.previews import preview_upload
from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import (
    ChangeIn,
    DatasetIn,
    DatasetList,
    DatasetOut,
    DatasetPatch,
    DatasetQuery,
    DifferenceList,
    DifferenceOut,
    FetchIn,
    FetchOut,
    HitsOut,
    ImportIn,
    LineageOut,
    RecordList,
    RecordOut,
    RecordQuery,
    SearchResult,
    SplitIn,
    UploadIn,
    UploadOut,
    UseOut,
    VersionList,
    VersionOut,
    ViewIn,
    ViewList,
    ViewOut,
)
from workers.spec.data import SourceEncoding, SourceFormat

router = Router()


@router.post("/workspaces/{slug}/uploads", response={201: UploadOut})
def start_upload(request: MemberRequest, slug: str, payload: UploadIn) -> Status[UploadOut]:
    return Status(201, UploadOut.of(uploads.start_upload(user=request.user, slug=slug, name=payload.name, size=payload.size)))


@router.post("/workspaces/{slug}/uploads/hub", response={202: FetchOut})
def fetch_dataset(request: MemberRequest, slug: str, payload: FetchIn) -> Status[FetchOut]:
    """Fetch a dataset from Hugging Face or ModelScope."""
    job = start_fetch(user=request.user, slug=slug, **payload.model_dump())
    return Status(202, FetchOut(job=job.pk, upload=int(job.spec["upload"])))


@router.get("/uploads/{upload_id}", response=UploadOut)
def get_upload(request: MemberRequest, upload_id: int) -> UploadOut:
    return UploadOut.of(access_upload(request.user, upload_id))


@router.put(
    "/uploads/{upload_id}", response=UploadOut, openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}}
)
def put_part(request: MemberRequest, upload_id: int, offset: int) -> UploadOut | HttpResponse:
    """The next part, at most 8 MB, as the raw body. A wrong offset is answered with 409 and the right one."""
    length = request.headers.get("Content-Length", "")
    announced = int(length) if length.isdecimal() else 0
    try:
        upload = uploads.receive_part(
            user=request.user, upload_id=upload_id, offset=offset, read=request.read, announced=announced
        )
    except uploads.WrongOffset as error:
        return JsonResponse({**error_body(error), "offset": error.offset}, status=error.status)
    return UploadOut.of(upload)


@router.delete("/uploads/{upload_id}", response={204: None})
def delete_upload(request: MemberRequest, upload_id: int) -> Status[None]:
    uploads.delete_upload(user=request.user, upload_id=upload_id)
    return Status(204, None)


@router.get("/uploads/{upload_id}/preview")
def preview(
    request: MemberRequest, upload_id: int, format: SourceFormat = "auto", encoding: SourceEncoding = "auto", limit: int = 20
) -> dict[str, Any]:
    """What an import of the file would give, from its first rows; nothing is stored."""
    return preview_upload(user=request.user, upload_id=upload_id, format=format, encoding=encoding, limit=limit)


@router.get("/workspaces/{slug}/datasets", response=DatasetList)
def list_datasets(
    request: MemberRequest,
    slug: str,
    conditions: Query[DatasetQuery],
    cursor: str | None = None,
    limit: int = 50,
    search: str = "",
) -> dict[str, Any]:
    values, ranges = dataset_conditions(request.GET)
    page = queries.list_datasets(
        user=request.user, slug=slug, cursor=cursor, limit=limit, search=search, values=values, ranges=ranges
    )
    items = [DatasetOut.of(dataset, dataset.latest) for dataset in page.items]  # type: ignore[attr-defined]
    return {"items": items, "next_cursor": page.next_cursor}


@router.get("/workspaces/{slug}/records", response=SearchResult)
def search_records(
    request: MemberRequest, slug: str, conditions: Query[RecordQuery], cursor: str | None = None, limit: int = 10
) -> dict[str, Any]:
    """Records of all datasets (their newest ready versions), the first few of each."""
    found = composition.search_records(
        user=request.user, slug=slug, wanted=from_query(request.GET), cursor=cursor, limit=max(1, min(limit, 50))
    )
    items = [
        HitsOut(version=hits.version.pk, name=str(hits.version), records=[RecordOut.of(row) for row in hits.rows], more=hits.more)
        for hits in found.items
    ]
    return {"items": items, "searched": found.searched, "next_cursor": found.next_cursor}


@router.get("/workspaces/{slug}/composition")
def workspace_composition(request: MemberRequest, slug: str) -> dict[str, Any]:
    """facet → value → [records, bytes] over the newest ready versions of all datasets."""
    return {"facets": composition.workspace_facets(access_workspace(request.user, slug))}


@router.post("/workspaces/{slug}/datasets", response={201: DatasetOut})
def create_dataset(request: MemberRequest, slug: str, payload: DatasetIn) -> Status[DatasetOut]:
    """A dataset; with `upload` also the job that imports its first version."""
    if payload.upload is None:
        dataset = services.create_dataset(user=request.user, slug=slug, name=payload.name, description=payload.description)
        return Status(201, DatasetOut.of(dataset, None))
    options = payload.model_dump(exclude={"upload", "name", "description"})
    version = services.import_new_dataset(
        user=request.user, slug=slug, upload_id=payload.upload, name=payload.name, description=payload.description, **options
    )
    return Status(201, DatasetOut.of(version.dataset, version))


def _with_latest(dataset: Dataset) -> DatasetOut:
    newest = dataset.versions.select_related("job").order_by("-number")
    return DatasetOut.of(dataset, newest.filter(state=VersionState.READY).first() or newest.first())


@router.get("/datasets/{dataset_id}", response=DatasetOut)
def get_dataset(request: MemberRequest, dataset_id: int) -> DatasetOut:
    return _with_latest(access_dataset(request.user, dataset_id))


@router.patch("/datasets/{dataset_id}", response=DatasetOut)
def update_dataset(request: MemberRequest, dataset_id: int, payload: DatasetPatch) -> DatasetOut:
    changes = payload.model_dump(exclude_unset=True)
    return _with_latest(services.update_dataset(user=request.user, dataset_id=dataset_id, **changes))


@router.delete("/datasets/{dataset_id}", response={204: None})
def delete_dataset(request: MemberRequest, dataset_id: int) -> Status[None]:
    services.delete_dataset(user=request.user, dataset_id=dataset_id)
    return Status(204, None)


@router.get("/datasets/{dataset_id}/versions", response=VersionList)
def list_versions(request: MemberRequest, dataset_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    page = queries.list_versions(user=request.user, dataset_id=dataset_id, cursor=cursor, limit=limit)
    return {"items": [VersionOut.of(version) for version in page.items], "next_cursor": page.next_cursor}


@router.post("/datasets/{dataset_id}/versions", response={201: VersionOut})
def import_version(request: MemberRequest, dataset_id: int, payload: ImportIn) -> Status[VersionOut]:
    """Start the job that turns an upload into the next version."""
    options = payload.model_dump(exclude={"upload"})
    version = services.import_upload(user=request.user, dataset_id=dataset_id, upload_id=payload.upload, **options)
    return Status(201, VersionOut.of(version))


@router.get("/versions/{version_id}", response=VersionOut)
def get_version(request: MemberRequest, version_id: int) -> VersionOut:
    return VersionOut.of(access_version(request.user, version_id))


@router.delete("/versions/{version_id}", response={204: None})
def delete_version(request: MemberRequest, version_id: int) -> Status[None]:
    services.delete_version(user=request.user, version_id=version_id)
    return Status(204, None)


@router.get("/versions/{version_id}/records", response=RecordList)
def list_records(
    request: MemberRequest, version_id: int, conditions: Query[RecordQuery], cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Records that pass all conditions: `label=card&label=cash` (either), `length_min=10`, `date_max=2026-05-31`."""
    page = queries.list_records(
        user=request.user, version_id=version_id, wanted=from_query(request.GET), cursor=cursor, limit=limit
    )
    return {
        "items": [RecordOut.of(row) for row in page.items],
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
        "last_cursor": page.last_cursor,
        "total": page.total,
    }


@router.get("/versions/{version_id}/facets")
def facets(request: MemberRequest, version_id: int, conditions: Query[RecordQuery]) -> dict[str, Any]:
    """facet → value → [records, bytes] among the records that pass; numbers with least and most. Words are not looked at."""
    version = ready_version(access_version(request.user, version_id))
    return {"facets": queries.facet_counts(version, from_query(request.GET)), "ranges": version.stats.get("ranges", {})}


@router.get("/workspaces/{slug}/record-views", response=ViewList)
def list_views(request: MemberRequest, slug: str) -> dict[str, Any]:
    """Saved filters of records: one's own and those that are shared."""
    return {"items": [ViewOut.of(view) for view in saved_views.list_views(user=request.user, slug=slug)]}


@router.post("/workspaces/{slug}/record-views", response={201: ViewOut})
def save_view(request: MemberRequest, slug: str, payload: ViewIn) -> Status[ViewOut]:
    """One of the same name and maker is replaced."""
    view = saved_views.save_view(user=request.user, slug=slug, name=payload.name, query=payload.query, shared=payload.shared)
    return Status(201, ViewOut.of(view))


@router.delete("/record-views/{view_id}", response={204: None})
def delete_view(request: MemberRequest, view_id: int) -> Status[None]:
    saved_views.delete_view(user=request.user, view_id=view_id)
    return Status(204, None)


@router.get("/versions/{version_id}/records/{position}", response=RecordOut)
def get_record(request: MemberRequest, version_id: int, position: int) -> RecordOut:
    row = access_version(request.user, version_id).records.filter(position=position).first()
    if row is None:
        raise NotFound
    return RecordOut.of(row)


@router.get("/versions/{version_id}/lineage", response=LineageOut)
def get_lineage(request: MemberRequest, version_id: int) -> dict[str, Any]:
    version = access_version(request.user, version_id)
    return {
        "origin": version.origin,
        "parent": VersionOut.of(version.parent) if version.parent else None,
        "job": version.job_id,
        "uses": [UseOut(kind=use.kind, name=use.name, url=use.url) for use in uses([version])],
    }


@router.post("/versions/{version_id}/split", response={201: list[VersionOut]})
def split_version(request: MemberRequest, version_id: int, payload: SplitIn) -> Status[list[VersionOut]]:
    """New versions, ready at once or with the job that makes them: the rest and the held-out `fraction`, or `parts`."""
    if payload.parts:
        parts = [part.model_dump(exclude_none=True) for part in payload.parts]
        stratify = payload.stratify if isinstance(payload.stratify, str) else "label" if payload.stratify else ""
        split = deriving.checked_split(parts=parts, seed=payload.seed, stratify=stratify, facet=payload.facet)
        return Status(
            201,
            [VersionOut.of(each) for each in deriving.split_parts(user=request.user, version_id=version_id, split=split)],
        )
    given = payload.train_name, payload.held_out_name
    made = deriving.split_version(
        user=request.user,
        version_id=version_id,
        fraction=payload.fraction,
        seed=payload.seed,
        stratify=bool(payload.stratify),
        names=given if all(given) else None,
    )
    return Status(201, [VersionOut.of(version) for version in made])


@router.post("/versions/{version_id}/change", response={201: VersionOut})
def change_records(request: MemberRequest, version_id: int, payload: ChangeIn) -> Status[VersionOut]:
    """The next version, in which the records that pass `filter` are deleted, kept or changed."""
    wanted = from_query(QueryDict(payload.filter))
    change = deriving.checked_change(action=payload.action, field=payload.field, value=payload.value)
    return Status(
        201,
        VersionOut.of(deriving.change_records(user=request.user, version_id=version_id, wanted=wanted, change=change)),
    )


@router.get("/versions/{version_id}/compare/{other_id}", response=DifferenceList)
def compare(
    request: MemberRequest, version_id: int, other_id: int, show: str = "changed", cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """What became of the other, older version: `show` is changed, added or removed."""
    found = comparing.compare_versions(
        user=request.user, older_id=other_id, newer_id=version_id, show=show, cursor=cursor, limit=limit
    )
    return {
        "counts": found.counts,
        "items": [DifferenceOut.of(item) for item in found.items],
        "next_cursor": found.next_cursor,
    }


@router.get("/versions/{version_id}/download")
def download(request: MemberRequest, version_id: int, format: str = "jsonl") -> HttpResponseBase:
    return exports.download(request, access_version(request.user, version_id), format)


@router.get("/versions/{version_id}/losses")
def losses(request: MemberRequest, version_id: int) -> dict[str, Any]:
    """What each export format would leave out."""
    return {"formats": exports.export_losses(access_version(request.user, version_id))}


@router.get("/versions/{version_id}/errors")
def errors(request: MemberRequest, version_id: int, format: str = "jsonl") -> HttpResponseBase:
    """The rows that the import refused, with line number and reason, as JSON lines or CSV."""
    return exports.error_report(access_version(request.user, version_id, role=Role.VIEWER), format)

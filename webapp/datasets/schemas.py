"""What the API of datasets takes and gives."""

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from webapp.datasets.comparing import Difference
from webapp.datasets.models import Dataset, DatasetVersion, RecordRow, SavedView, Upload
from workers.spec.data import HubName, SourceEncoding, SourceFormat


class In(Schema):
    """A request body: unknown fields are a mistake that the sender should hear of."""

    model_config = ConfigDict(extra="forbid")


class UploadIn(In):
    name: str
    size: int


class FetchIn(In):
    """A dataset on a hub. `file`: one file or folder of it; empty: all data files of its main format."""

    hub: HubName = "huggingface"
    hub_id: str = Field(min_length=3, max_length=200, description="owner/name")
    revision: str = Field("", max_length=200)
    file: str = Field("", max_length=500)


class FetchOut(Schema):
    """When the job has ended, the upload can be previewed and imported like a file that was sent."""

    job: int
    upload: int


class UploadOut(Schema):
    id: int
    name: str
    offset: int
    size: int
    state: Literal["receiving", "complete"]

    @classmethod
    def of(cls, upload: Upload) -> "UploadOut":
        state: Literal["receiving", "complete"] = "complete" if upload.is_complete else "receiving"
        return cls(id=upload.pk, name=upload.name, offset=upload.offset, size=upload.size, state=state)


class ImportIn(In):
    upload: int
    format: SourceFormat = "auto"
    encoding: SourceEncoding = "auto"
    mapping: dict[str, str] = Field(default_factory=dict, description="canonical field → column of the file")
    language: str | None = Field(None, max_length=16)
    licence: str | None = Field(None, max_length=80)
    domain: str | None = Field(None, max_length=80)


class DatasetIn(In):
    """With `upload` the dataset gets its first version from that file."""

    name: str = ""
    description: str = ""
    upload: int | None = None
    format: SourceFormat = "auto"
    encoding: SourceEncoding = "auto"
    mapping: dict[str, str] = Field(default_factory=dict)
    language: str | None = Field(None, max_length=16)
    licence: str | None = Field(None, max_length=80)
    domain: str | None = Field(None, max_length=80)


class DatasetPatch(In):
    name: str | None = None
    description: str | None = None


class VersionOut(Schema):
    id: int
    dataset: int
    number: int
    state: str
    origin: str
    parent: int | None
    job: int | None
    sha256: str
    count: int
    bytes: int
    refused: int
    stats: dict[str, Any]
    recipe: dict[str, Any]
    error: str
    created_at: datetime

    @classmethod
    def of(cls, version: DatasetVersion) -> "VersionOut":
        return cls(
            id=version.pk,
            dataset=version.dataset_id,
            number=version.number,
            state=version.state,
            origin=version.origin,
            parent=version.parent_id,
            job=version.job_id,
            sha256=version.sha256,
            count=version.count,
            bytes=version.bytes,
            refused=version.refused,
            stats=version.stats,
            recipe=version.recipe,
            error=version.error,
            created_at=version.created_at,
        )


class DatasetOut(Schema):
    id: int
    name: str
    description: str
    created_at: datetime
    version: VersionOut | None = Field(None, description="the newest version that is ready, else the newest")

    @classmethod
    def of(cls, dataset: Dataset, latest: DatasetVersion | None) -> "DatasetOut":
        version = VersionOut.of(latest) if latest else None
        return cls(
            id=dataset.pk, name=dataset.name, description=dataset.description, created_at=dataset.created_at, version=version
        )


class RecordOut(Schema):
    position: int
    label: str
    language: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: RecordRow) -> "RecordOut":
        return cls(position=row.position, label=row.label, language=row.language, data=row.data)


class PartIn(In):
    name: str
    share: float | None = Field(None, description="of the distinct contents; all shares together 1")
    value: str | None = Field(None, description="with `facet`: the value whose records go here; default: the name")


class SplitIn(In):
    """Two parts by `fraction`, or any by `parts`. Records of the same content are never on two sides."""

    fraction: float = Field(0.1, description="share that is held out, between 0 and 1")
    seed: int = 0
    stratify: bool | str = Field(True, description="the same share of every label, or of every value of the facet of this name")
    train_name: str = ""
    held_out_name: str = ""
    parts: list[PartIn] = []
    facet: str = Field("", description="parts by the values of this facet instead of by share")


class ChangeIn(In):
    """A bulk action."""

    filter: str = Field("", description="which records, as in the address of the records: `label=card&length_max=10`")
    action: str = Field(description="delete, keep or set")
    field: str | None = Field(None, description="label, language, domain, licence, source, quality or split")
    value: str = Field("", description="empty: take the field away")


class DifferenceOut(Schema):
    key: str
    old: RecordOut | None
    new: RecordOut | None

    @classmethod
    def of(cls, item: Difference) -> "DifferenceOut":
        old, new = (RecordOut.of(row) if row else None for row in (item.old, item.new))
        return cls(key=item.key, old=old, new=new)


class DifferenceList(Schema):
    counts: dict[str, int]
    items: list[DifferenceOut]
    next_cursor: str | None


class DatasetList(Schema):
    items: list[DatasetOut]
    next_cursor: str | None


class VersionList(Schema):
    items: list[VersionOut]
    next_cursor: str | None


class RecordList(Schema):
    """`total` is null for full text, which is searched only as far as the page needs."""

    items: list[RecordOut]
    next_cursor: str | None
    previous_cursor: str | None = None
    last_cursor: str | None = None
    total: int | None = None


class RecordQuery(Schema):
    """Conditions that hold together; several values of one facet are alternatives; `(none)`: records without it."""

    q: str = Field("", description='words that all occur; "a phrase"; -word must not occur; id:r7')
    kind: list[str] = []
    modality: list[str] = []
    language: list[str] = []
    domain: list[str] = []
    licence: list[str] = []
    source: list[str] = []
    label: list[str] = []
    state: list[str] = Field([], description="labelled, answered or open")
    split: list[str] = []
    media: list[str] = Field([], description="yes or no")
    tools: list[str] = Field([], description="yes or no")
    length_min: str = ""
    length_max: str = ""
    bytes_min: str = ""
    bytes_max: str = ""
    turns_min: str = ""
    turns_max: str = ""
    quality_min: str = ""
    quality_max: str = ""
    date_min: str = Field("", description="2026-05-31")
    date_max: str = ""
    sort: str = Field("", description="length, bytes, turns, quality or date; with - the largest first")


class UseOut(Schema):
    kind: str
    name: str
    url: str


class LineageOut(Schema):
    """Where a version comes from (`parent`, `job`, `origin`) and what was made from it."""

    origin: str
    parent: VersionOut | None
    job: int | None
    uses: list[UseOut]


class ViewIn(In):
    name: str
    query: str = Field(description="the conditions as in the address of the records: `label=card&quality_min=0.5`")
    shared: bool = True


class ViewOut(Schema):
    id: int
    name: str
    query: str
    shared: bool
    created_by: str

    @classmethod
    def of(cls, view: SavedView) -> "ViewOut":
        return cls(id=view.pk, name=view.name, query=view.query, shared=view.shared, created_by=view.created_by.username)


class ViewList(Schema):
    items: list[ViewOut]


class HitsOut(Schema):
    """The first records of a version that fit; `more`: there are others."""

    version: int
    name: str
    records: list[RecordOut]
    more: bool


class SearchResult(Schema):
    """`searched` datasets were looked at; with a `next_cursor` others wait, even when nothing was found yet."""

    items: list[HitsOut]
    searched: int
    next_cursor: str | None


class DatasetQuery(Schema):
    """Conditions on the newest version of a dataset: it has records of these values, so many, so large, of such a day."""

    kind: list[str] = []
    modality: list[str] = []
    language: list[str] = []
    domain: list[str] = []
    licence: list[str] = []
    source: list[str] = []
    label: list[str] = []
    state: list[str] = []
    split: list[str] = []
    count_min: str = ""
    count_max: str = ""
    bytes_min: str = ""
    bytes_max: str = ""
    date_min: str = ""
    date_max: str = ""

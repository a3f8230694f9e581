"""What differs between two versions, page by page; any two that the reader may see."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from webapp.accounts.models import User
from webapp.core.errors import UserError
from webapp.core.paging import MAXIMUM_LIMIT, bad_cursor, decode, encode
from webapp.datasets.access import access_version
from webapp.datasets.indexes import index_folder, open_folder, open_index
from webapp.datasets.models import DatasetVersion, RecordRow

if TYPE_CHECKING:
    from workers.data.index.comparing import Comparison

Show = Literal["changed", "added", "removed"]
SHOWN: tuple[Show, ...] = ("changed", "added", "removed")
KEPT = 16


@dataclass(frozen=True)
class Difference:
    """One record: as it was (`old`; None: added) and as it is (`new`; None: removed)."""

    key: str
    old: RecordRow | None
    new: RecordRow | None

    @property
    def row(self) -> RecordRow:
        """The newest there is."""
        row = self.new or self.old
        assert row is not None
        return row


@dataclass(frozen=True)
class DifferencePage:
    counts: dict[str, int]
    items: list[Difference]
    next_cursor: str | None


def compare_versions(
    *, user: User, older_id: int, newer_id: int, show: str = "changed", cursor: str | None = None, limit: int = 20
) -> DifferencePage:
    """Records by id: those that say something else, those that are new, those that are gone."""
    older, newer = access_version(user, older_id), access_version(user, newer_id)
    if show not in SHOWN:
        raise UserError(
            "compare.unknown_part", "There is no part “{part}”; choose changed, added or removed.", status=422, part=show
        )
    found = comparison(older, newer)
    start = decode(cursor) if cursor else 0
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise bad_cursor()
    limit = max(1, min(limit, MAXIMUM_LIMIT))
    part = getattr(found, show)
    chosen = part[start : start + limit].tolist()
    items = _differences(older, newer, show, chosen)
    return DifferencePage(found.counts, items, encode(start + limit) if start + limit < len(part) else None)


def comparison(older: DatasetVersion, newer: DatasetVersion) -> "Comparison":
    for version in (older, newer):
        open_index(version)
    return _compare(index_folder(older.sha256), index_folder(newer.sha256))


@lru_cache(maxsize=KEPT)
def _compare(older: Path, newer: Path) -> "Comparison":
    from workers.data.index.comparing import compare

    return compare(open_folder(older), open_folder(newer))


def _differences(older: DatasetVersion, newer: DatasetVersion, show: str, chosen: list[Any]) -> list[Difference]:
    if show == "changed":
        before = _rows(older, [old for old, _new in chosen])
        after = _rows(newer, [new for _old, new in chosen])
        return [Difference(after[new].key, before[old], after[new]) for old, new in chosen]
    rows = _rows(newer if show == "added" else older, chosen)
    if show == "added":
        return [Difference(rows[position].key, None, rows[position]) for position in chosen]
    return [Difference(rows[position].key, rows[position], None) for position in chosen]


def _rows(version: DatasetVersion, positions: list[int]) -> dict[int, RecordRow]:
    return {row.position: row for row in RecordRow.objects.filter(version=version, position__in=positions)}


def counterparts(version: DatasetVersion, limit: int = 60) -> list[DatasetVersion]:
    """What a version is likely to be compared with: its parent first, then its dataset's versions, then others."""
    here = DatasetVersion.objects.filter(dataset__workspace_id=version.dataset.workspace_id)
    ready = here.filter(state="ready").exclude(pk=version.pk)
    found = list(ready.select_related("dataset").order_by("-pk")[:limit])
    if version.parent_id and all(each.pk != version.parent_id for each in found):
        found += ready.select_related("dataset").filter(pk=version.parent_id)
    return sorted(found, key=lambda each: (each.pk != version.parent_id, each.dataset_id != version.dataset_id, -each.pk))

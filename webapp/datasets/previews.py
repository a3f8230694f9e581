"""What an upload would become, before anything is stored."""

from collections.abc import Mapping
from typing import Any

from webapp.accounts.models import User
from webapp.core.errors import translate
from webapp.datasets.access import access_upload
from webapp.datasets.uploads import require_complete, upload_path
from webapp.datasets.words import record_kind
from workers.data.importing import preview

LARGEST_VALUE = 4000


def preview_upload(
    *,
    user: User,
    upload_id: int,
    format: str = "auto",
    encoding: str = "auto",
    mapping: Mapping[str, str] | None = None,
    limit: int = 20,
) -> dict[str, Any]:
    """The answer of `workers.data.importing.preview`, its errors in the reader's language and long texts cut."""
    upload = access_upload(user, upload_id)
    require_complete(upload)
    found = preview(
        upload_path(upload), format, max(1, min(limit, 50)), name=upload.name, encoding=encoding, mapping=dict(mapping or {})
    )
    found["errors"] = [{**row, "message": translate(row["template"], row["params"])} for row in found["errors"]]
    found["records"] = [_cut(record) for record in found["records"]]
    found["kinds"] = sorted({_kind(record) for record in found["records"]})
    return found


def _kind(record: Mapping[str, Any]) -> str:
    """What a record is for; of mere media what they are."""
    kind = record_kind(dict(record))
    return str(record.get("modality", kind)) if kind == "text" and record.get("media") else kind


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LARGEST_VALUE else value[:LARGEST_VALUE] + "…"
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value

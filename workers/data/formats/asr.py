"""ASR manifest: `audio_filepath`, `duration` in seconds and `text` a line; with `offset` of a part of the file."""

from collections.abc import Mapping
from typing import Any

from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import common_fields

_USED = ("audio_filepath", "duration", "offset", "text", "segments", "label")


class AsrManifest(Shape):
    name = "asr"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("audio_filepath"), str)

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        path, offset, duration = row.get("audio_filepath"), _milliseconds(row.get("offset")), _milliseconds(row.get("duration"))
        if not isinstance(path, str) or not path:
            raise content_error("no_audio", "The row has no «audio_filepath».")
        item: dict[str, Any] = {"kind": "audio", "name": path}
        if duration is not None and offset is None:
            item["duration_ms"] = duration
        others = {name: value for name, value in row.items() if name != "audio_filepath"}
        fields = common_fields(others, _USED, [item])
        text = row.get("text")
        if isinstance(text, str) and text:
            fields["text"] = text
        if isinstance(row.get("label"), str) and row["label"]:
            fields["label"] = row["label"]
        segments = row.get("segments")
        if offset is not None and duration is not None:
            segments = [{"id": "1", "start_ms": offset, "end_ms": offset + duration, "label": "speech", "text": text or ""}]
        if isinstance(segments, list) and segments:
            fields.setdefault("annotations", []).insert(0, {"q": "segments", "type": "segments", "value": segments})
        return fields


def _milliseconds(seconds: Any) -> int | None:
    if seconds is None:
        return None
    try:
        return round(float(seconds) * 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise content_error("bad_number", "«{value}» is no number.", value=str(seconds)[:40]) from error

"""The files that a record names are fetched from the archive (or from the record itself), and its regions put on them."""

from typing import Any

from workers.data.archive import Archive
from workers.data.formats.base import content_error
from workers.data.formats.regions import fit
from workers.data.media_files import Measured, MediaSink, Stored, kind_of
from workers.data.packages.members import stored_name
from workers.data.readings import Content
from workers.data.source import BROKEN

_REMEMBERED = 50_000
_NAMELESS = {"image": "picture.png", "audio": "sound.wav"}
"""How a file without a name is measured."""


class Attacher:
    """Takes every member once, however many records name it."""

    def __init__(self, archive: Archive | None, sink: MediaSink) -> None:
        self._archive = archive
        self._sink = sink
        self._taken: dict[str, Stored] = {}
        self._has_media = archive is not None and any(map(kind_of, archive.members))

    def attach(self, row: Content) -> None:
        """Fill in the media of the record's fields. Raises UserError when a file is missing or is not what it should be."""
        media = row.fields["media"]
        first_picture: tuple[Measured, str] | None = None
        for index, item in enumerate(media):
            if not isinstance(item, dict):
                continue
            stored = row.stored.get(index) or self._stored(item, row.member)
            if stored is None:
                continue
            claimed = item.get("sha256")
            if claimed and stored.fields.get("sha256", claimed) != claimed:
                raise content_error("other_media", "The file «{name}» is not the one that the record was made with.",
                                    name=str(item.get("name", ""))[:200])  # fmt: skip
            item.update(stored.fields)
            if first_picture is None and item.get("kind") == "image":
                first_picture = stored.measured, str(item.get("name", ""))
        if first_picture:
            for found in row.fields.get("annotations") or []:
                if isinstance(found, dict) and found.get("type") == "regions" and isinstance(found.get("value"), dict):
                    found["value"] = fit(found["value"], *first_picture)

    def _stored(self, item: dict[str, Any], member: str) -> Stored | None:
        name, url = item.get("name"), item.get("url")
        found = self._find(item, member) if isinstance(name, str) or item.get("sha256") else None
        if isinstance(url, str) and url.startswith("data:"):
            del item["url"]
            if found is None:
                return self._sink.take_data_url(url, name if isinstance(name, str) else _NAMELESS.get(str(item.get("kind")), ""))
        if found is not None:
            return self._take(found)
        if self._has_media and isinstance(name, str):
            raise content_error("no_media_file", "The file «{name}» is not in the archive.", name=name[:200])
        return None

    def _find(self, item: dict[str, Any], member: str) -> str | None:
        if self._archive is None:
            return None
        stored = stored_name(self._archive, item)
        if stored or not isinstance(item.get("name"), str):
            return stored
        if item["name"] and (member == item["name"] or member.endswith("/" + item["name"])):
            return member  # the record is the file itself
        return self._archive.find(item["name"], member)

    def _take(self, found: str) -> Stored:
        assert self._archive is not None
        if found not in self._taken:
            if len(self._taken) >= _REMEMBERED:
                self._taken.clear()
            try:
                with self._archive.open(found) as file:
                    self._taken[found] = self._sink.take(file, found)
            except BROKEN as error:
                raise content_error(
                    "broken_member", "The file «{name}» of the archive is not whole.", name=found[:200]
                ) from error
        return self._taken[found]

"""An archive of data files and the media that they name: each file is read as it would be alone."""

from collections.abc import Iterator

from workers.data.archive import Archive
from workers.data.formats.base import Problem, problem
from workers.data.media_files import MediaSink, kind_of
from workers.data.packages import tables
from workers.data.packages.folder import split_of
from workers.data.packages.plain import member_source, open_source
from workers.data.readings import Content, Reading, Settings
from workers.spec.errors import UserError

DATA_SUFFIXES = (
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".tab",
    ".txt",
    ".md",
    ".xml",
    ".conll",
    ".bio",
    ".gz",
    *tables.SUFFIXES,
)


class MembersReading(Reading):
    """`format` and columns are those of the first file that can be read."""

    container = "zip"

    def __init__(self, archive: Archive, names: list[str], settings: Settings) -> None:
        super().__init__()
        self.archive = archive
        self._names = names
        self._settings = settings
        self._done = 0
        self._current: Reading | None = None
        self._used: set[str] = set()
        splits = {name: split for name in names if (split := split_of(name))}
        self._splits = splits if len(set(splits.values())) > 1 else {}
        first = self._first()
        self.format, self.encoding = first.format, first.encoding
        self.columns, self.mapping = first.columns, first.mapping

    def _first(self) -> Reading:
        refused: UserError | None = None
        for name in self._names:
            try:
                return self._open(name)
            except UserError as error:
                refused = refused or error
        assert refused is not None
        raise refused

    def _open(self, name: str) -> Reading:
        if name.lower().endswith(tables.SUFFIXES):
            assert self.archive is not None
            return tables.open_member(self.archive, name, self._settings)
        return open_source(member_source(self.archive, name, self._settings.encoding), name, self._settings)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        assert self.archive is not None
        return max(1, sum(self.archive.size(name) for name in self._names))

    @property
    def position(self) -> int:
        return self._done + (self._current.position if self._current else 0)

    def contents(self, sink: MediaSink) -> Iterator[Content | Problem]:
        assert self.archive is not None
        yield from self.archive.problems
        for name in self._names:
            try:
                self._current = self._open(name)
            except UserError as error:
                yield Problem(1, error, name)
                continue
            for item in self._current.contents(sink):
                if isinstance(item, Problem):
                    yield Problem(item.line, item.error, f"{name}: {item.head}"[:200])
                    continue
                item.member = name
                if name in self._splits:
                    item.fields["extra"] = {"split": self._splits[name], **(item.fields.get("extra") or {})}
                self._note_used(item)
                yield item
            self._done += self.archive.size(name)
            self._current = None
        yield from self._unused()

    def _note_used(self, item: Content) -> None:
        assert self.archive is not None
        for file in item.fields.get("media") or []:
            if isinstance(file, dict) and isinstance(file.get("name"), str):
                self._used.add(self.archive.find(file["name"], item.member) or stored_name(self.archive, file) or "")

    def _unused(self) -> Iterator[Problem]:
        """Media that no record names are told, so that nobody believes them imported."""
        assert self.archive is not None
        for number, name in enumerate(self.archive.members, start=1):
            if kind_of(name) and name not in self._used:
                yield problem(
                    number, name, "unused_media", "No record names the file «{name}»; it was left out.", name=name[:200]
                )


def stored_name(archive: Archive, item: dict[str, object]) -> str | None:
    """Where our own archive keeps the file of a record: `media/<sha256>` with its ending."""
    sha256, name = item.get("sha256"), item.get("name")
    if not isinstance(sha256, str):
        return None
    suffix = f".{name.rsplit('.', 1)[1]}" if isinstance(name, str) and "." in name else ""
    return next((path for path in (f"media/{sha256}{suffix}", f"media/{sha256}") if path in archive.members), None)

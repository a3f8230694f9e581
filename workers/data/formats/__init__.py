"""The registry of formats: a later one is a module of its own and one more entry here."""

from collections.abc import Mapping, Sequence
from typing import Any

from workers.data.formats.alpaca import Alpaca
from workers.data.formats.asr import AsrManifest
from workers.data.formats.base import Container, Shape
from workers.data.formats.canonical import Canonical, CanonicalTable
from workers.data.formats.columns import Columns
from workers.data.formats.conll import Conll, Tagged
from workers.data.formats.conversation import OpenAi, ShareGpt
from workers.data.formats.csv_table import Table, TabTable
from workers.data.formats.guanaco import Guanaco
from workers.data.formats.json_document import JsonDocument
from workers.data.formats.jsonl import JsonLines
from workers.data.formats.labelllm import LabelLlm
from workers.data.formats.labelme import Labelme
from workers.data.formats.labelstudio import LabelStudio
from workers.data.formats.labelu import LabelU
from workers.data.formats.moss import Moss
from workers.data.formats.plain_text import PlainText
from workers.data.formats.preference import Preference, Ranked, Verdict
from workers.data.formats.voc import Voc, Xml
from workers.data.formats.wanjuan import WanJuan
from workers.spec.errors import UserError

CONTAINERS: tuple[Container, ...] = (JsonLines(), JsonDocument(), Xml(), Conll(), TabTable(), Table(), PlainText())
"""In the order in which they are tried on a file whose name says nothing."""

SHAPES: tuple[Shape, ...] = (
    Canonical(),
    CanonicalTable(),
    Preference(),
    Verdict(),
    Ranked(),
    LabelLlm(),
    ShareGpt(),
    OpenAi(),
    Alpaca(),
    Moss(),
    Guanaco(),
    WanJuan(),
    LabelStudio(),
    LabelU(),
    Labelme(),
    Tagged(),
    Voc(),
    AsrManifest(),
    Columns(),
)
"""In the order in which they are tried; the last takes every row."""


def find_container(format: str, name: str, head: bytes, whole: bool) -> Container:
    """By what was asked for, else by content, the file's name deciding where several fit."""
    named = [container for container in CONTAINERS if container.name == format]
    if named:
        return named[0]
    suffixes = [suffix.lower() for suffix in _suffixes(name)]
    preferred = [container for container in CONTAINERS if any(suffix in container.suffixes for suffix in suffixes)]
    tagged = next(container for container in CONTAINERS if container.name == "conll")
    if (not preferred or preferred[0].name in ("text", "tsv")) and tagged.recognises(head, whole):
        return tagged
    if preferred and preferred[0].name in ("text", "csv", "tsv", "xml", "conll"):
        return preferred[0]
    if preferred and preferred[0].name == "jsonl" and (_has_object_lines(head) or (_is_one_object(head) and not whole)):
        return preferred[0]  # whatever its first line is: broken, or longer than what was looked at
    if _is_one_object(head) and not (preferred and preferred[0].name == "jsonl"):
        return next(container for container in CONTAINERS if container.name == "json")
    found = next((container for container in CONTAINERS if container.recognises(head, whole)), None)
    if found is None:
        raise UserError(
            "dataset.unknown_format", "The file {file} is no text, table or JSON that is known; choose another one.", file=name
        )
    return found


def _is_one_object(head: bytes) -> bool:
    """A single line with an object, which may hold its records in a list."""
    return head.lstrip().startswith(b"{") and b"\n" not in head.strip()


def _has_object_lines(head: bytes) -> bool:
    """Some line is a whole object; a JSON document that is set out on lines has none, or its brackets around them."""
    if head.lstrip()[:1] == b"[":
        return False
    return any(line.startswith(b'{"') and line.rstrip().endswith(b"}") for line in head.split(b"\n")[:50])


def _suffixes(name: str) -> list[str]:
    parts = name.removesuffix(".gz").rsplit(".", 1)
    return [f".{parts[1]}"] if len(parts) == 2 else []


def find_shape(format: str, rows: Sequence[Mapping[str, Any]]) -> Shape:
    """By what was asked for, else the first that knows at least half of the rows."""
    named = [shape for shape in SHAPES if shape.name == format and not isinstance(shape, (Canonical, CanonicalTable))]
    if named:
        return named[0]
    known = (shape for shape in SHAPES if 2 * sum(map(shape.recognises, rows)) >= max(1, len(rows)))
    return next(known, SHAPES[-1])

"""Spans as CoNLL: tokens with B-, I- and O."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from workers.data.formats.base import Loss
from workers.data.formats.turns import OURS
from workers.data.writers.base import Counts, Files, left_out
from workers.data.writers.conversations import content_of
from workers.spec.record import Record

_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+|[^\w\s]")
"""A Han character, a word of other letters, or a sign."""


def conll(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    for record in records:
        content = content_of(record)
        text = content.get("text")
        if not text or not text.strip():
            continue
        spans, kept = _taken_out(content)
        lines = [f"# {OURS} = {json.dumps(kept, ensure_ascii=False, separators=(',', ':'))}"]
        lines += [f"{token} {tag}" for token, tag in tagged(text, spans)]
        yield ("\n".join(lines) + "\n\n").encode()


def _taken_out(content: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The first spans of the record without those that overlap others, and the record with only their ids."""
    spans: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    taken = False
    for item in content.get("annotations", []):
        if item["type"] == "spans" and not taken:
            taken = True
            spans = apart(item["value"])
            others.append({**item, "value": [span["id"] for span in spans]})
        else:
            others.append(item)
    return spans, ({**content, "annotations": others} if others else content)


def apart(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of the text, each beginning where the last has ended or later."""
    kept: list[dict[str, Any]] = []
    for span in sorted(spans, key=lambda span: (span["start"], -span["end"])):
        if span["end"] > span["start"] and (not kept or span["start"] >= kept[-1]["end"]):
            kept.append(span)
    return kept


def tagged(text: str, spans: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Tokens that never cross a span's edge, each with its tag."""
    here = 0
    for span in spans:
        yield from ((token, "O") for token in _TOKEN.findall(text[here : span["start"]]))
        label = re.sub(r"\s", "_", str(span["label"])) or "_"
        for index, token in enumerate(_TOKEN.findall(text[span["start"] : span["end"]])):
            yield token, f"{'I' if index else 'B'}-{label}"
        here = span["end"]
    yield from ((token, "O") for token in _TOKEN.findall(text[here:]))


def span_losses(counts: Counts) -> Iterator[Loss]:
    yield left_out("no_text", "{count} records have no text of their own and are left out.",
                   counts.total - counts.field("text"))  # fmt: skip
    yield Loss("untagged", "{count} texts have no spans; all their tokens are tagged O.",
               max(0, counts.field("text") - counts.feature("annotated_spans")))  # fmt: skip
    yield Loss("overlapping_spans", "{count} texts lose spans that overlap others.", counts.feature("overlapping_spans"))
    yield Loss("span_edges", "{count} texts have spans that begin or end with spaces, or labels with spaces.",
               counts.feature("uneven_spans"))  # fmt: skip

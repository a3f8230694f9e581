"""CoNLL: a token a line with its tag in the last column (B-X, I-X, O; BIOES and BILOU too), an empty line between sentences.

Comments keep what the tags cannot say: `# record = {…}` holds the text as it was written and everything beside the spans.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workers.data.formats.base import Container, Problem, Row, Shape, content_error
from workers.data.formats.json_values import parse
from workers.data.formats.jsonl import decode_line, too_long
from workers.data.formats.turns import OURS, common_fields
from workers.data.source import Source
from workers.spec.errors import UserError

TAG = re.compile(r"O|[BIESLUM]-\S+")
_COMMENT = re.compile(r"# (\w+) = (.*)")
_MOST_TOKENS = 20_000


class Conll(Container):
    name = "conll"
    suffixes = (".conll", ".bio", ".iob", ".bioes")

    def recognises(self, head: bytes, whole: bool) -> bool:
        """Nearly every line is a token with a tag, and some tag begins a span."""
        lines = [line.split() for line in head[:65536].decode("utf-8", "replace").splitlines() if line.strip()]
        tokens = [cells for cells in lines[:500] if not cells[0].startswith(("#", "-DOCSTART-"))]
        tagged = [cells for cells in tokens if len(cells) >= 2 and TAG.fullmatch(cells[-1])]
        return len(tagged) >= 2 and len(tagged) >= 0.95 * len(tokens) and any(cells[-1] != "O" for cells in tagged)

    def rows(self, source: Source) -> Iterator[Row | Problem]:
        tokens: list[str] = []
        tags: list[str] = []
        notes: dict[str, str] = {}
        start = 1
        for line in source.lines():
            text = too_long(line) if line.content is None else decode_line(line, line.content, source.looks_like_gb18030)
            if isinstance(text, Problem):
                yield text
                continue
            cells = text.split()
            if not cells or len(tokens) >= _MOST_TOKENS:
                if tokens:
                    yield _sentence(start, tokens, tags, notes)
                tokens, tags, notes = [], [], {}
            if not cells or cells[0] == "-DOCSTART-":
                continue
            start = start if tokens or notes else line.number
            if cells[0] == "#" and not tokens:
                if found := _COMMENT.match(text):
                    notes[found.group(1)] = found.group(2)
                continue
            tokens.append(cells[0])
            tags.append(cells[-1] if len(cells) > 1 else "O")
        if tokens:
            yield _sentence(start, tokens, tags, notes)


def _sentence(line: int, tokens: list[str], tags: list[str], notes: dict[str, str]) -> Row:
    return Row(line, {"tokens": tokens, "ner_tags": tags, **notes}, " ".join(tokens)[:200])


class Tagged(Shape):
    """`tokens` with `ner_tags` (or `tags`) as words: what the container gives, and common JSON files hold."""

    name = "conll"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        tokens, tags = row.get("tokens"), _tags(row)
        return (
            isinstance(tokens, list)
            and isinstance(tags, list)
            and len(tokens) == len(tags) > 0
            and all(isinstance(tag, str) and TAG.fullmatch(tag) for tag in tags)
        )

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        tokens, tags = row.get("tokens"), _tags(row)
        if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
            raise content_error("no_tags", "The row has no «tokens» with as many tags.")
        record = common_fields(row, ("tokens", "ner_tags", "tags", OURS, "text"), [])
        if isinstance(row.get(OURS), str):
            record.update(_kept(row[OURS]))
        text = record.get("text") or row.get("text")
        record["text"] = text if isinstance(text, str) and text else _joined(tokens)
        spans = spans_of_tags(record["text"], tokens, [str(tag) for tag in tags])
        found = {"q": "spans", "type": "spans", "value": spans}
        annotations = record.get("annotations") or []
        place = next((index for index, item in enumerate(annotations) if _is_place(item)), None)
        if place is not None:
            names = annotations[place]["value"]
            if len(names) == len(spans):
                spans = [{**span, "id": name} for span, name in zip(spans, names, strict=True)]
            annotations[place] = {**annotations[place], "value": spans}
        elif OURS not in row or spans:
            annotations = [*annotations, found]
        if annotations:
            record["annotations"] = annotations
        return record


def _tags(row: Mapping[str, Any]) -> Any:
    return row.get("ner_tags", row.get("tags"))


def _is_place(item: Any) -> bool:
    """Where the spans stood among the annotations: their ids alone are left there."""
    return isinstance(item, dict) and item.get("type") == "spans" and all(isinstance(name, str) for name in item["value"])


def _kept(text: str) -> dict[str, Any]:
    try:
        value = parse(text)
    except (json.JSONDecodeError, UserError) as error:
        raise content_error("broken_json", "The object is no valid JSON: {detail}.", detail=str(error)[:200]) from error
    return value if isinstance(value, dict) else {}


def _joined(tokens: Sequence[str]) -> str:
    """With spaces between, but not between the signs of Chinese."""
    text = ""
    for token in map(str, tokens):
        close = text and "\u3000" <= text[-1] <= "\uffef" and "\u3000" <= token[:1] <= "\uffef"
        text += token if not text or close else f" {token}"
    return text


def spans_of_tags(text: str, tokens: Sequence[Any], tags: Sequence[str]) -> list[dict[str, Any]]:
    """Spans in code points of `text`, in which the tokens stand one after the other."""
    spans: list[dict[str, Any]] = []
    here, label = 0, ""
    for token, tag in zip(map(str, tokens), tags, strict=True):
        start = text.find(token, here)
        if start < 0:
            raise content_error("lost_token", "The token «{token}» does not stand in the text.", token=token[:60])
        here = start + len(token)
        kind, _, name = tag.partition("-")
        if kind == "O":
            label = ""
            continue
        if kind in "BSU" or name != label:
            spans.append({"id": str(len(spans) + 1), "start": start, "end": here, "label": name, "text": ""})
        spans[-1]["end"] = here
        label = "" if kind in "ESLU" else name
    return [{**span, "text": text[span["start"] : span["end"]]} for span in spans]

"""S6.5: converters both ways. What a format can say comes back the same; what it cannot is told beforehand."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.workers.data.test_importing import shared
from workers.data.exporters import FORMATS, SUFFIXES, export, losses
from workers.data.formats.base import Problem
from workers.data.importing import Importer, Settings
from workers.data.statistics import Statistics
from workers.spec.errors import UserError
from workers.spec.record import Facets, Message, Record


def imported(path: Path) -> list[Record]:
    items = list(Importer(path, path.name, Settings()))
    assert not [item for item in items if isinstance(item, Problem)]
    return [Record.model_validate(item.record) for item in items]


def round_trip(records: list[Record], format: str, folder: Path) -> list[Record]:
    path = folder / f"export{SUFFIXES[format]}"
    path.write_bytes(b"".join(export(records, format)))
    return imported(path)


def statistics(records: list[Record]) -> dict:
    counted = Statistics()
    for record in records:
        counted.add(record.model_dump(mode="json", exclude_none=True), 1)
    return counted.report()


CONVERSATIONS = [
    Record(
        id="a",
        messages=[
            Message(role="system", content="Be kind."),
            Message(role="user", content="Where is the card?"),
            Message(role="assistant", content="On its way.\nReally, it is."),
            Message(role="user", content="谢谢"),
            Message(role="assistant", content="不客气"),
        ],
        facets=Facets(language="en", source="web", quality=0.5),
        extra={"n": [1, {"x": None}]},
    ),
    Record(
        id="b",
        messages=[Message(role="user", content="Which is the better one?")],
        chosen=[Message(role="assistant", content="good")],
        rejected=[Message(role="assistant", content="bad")],
        facets=Facets(language="en"),
    ),
]
TOOL_USE = Record(
    id="c",
    messages=[
        Message(role="user", content="What is the weather?"),
        Message(
            role="assistant",
            content="Let me see.",
            tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {"city": "巴黎"}}}],
        ),
        Message(role="tool", content='{"degrees": 20}'),
        Message(role="assistant", content="It is 20 degrees."),
    ],
    tools=[{"type": "function", "function": {"name": "f", "description": "Weather", "parameters": {}}}],
    facets=Facets(language="en"),
)
LABELLED = [
    Record(id="1", text="Where is my card, please?", label="card", facets=Facets(language="en")),
    Record(id="2", text="=SUM(B7)", label="-x", extra={"k": "v"}),
    Record(id="3", text="'@quoted", label="+1"),
    Record(id="4", text="Which is it?", choices=["a", "b"], answer=1, facets=Facets(language="en")),
    Record(id="5", text='卡,\r\n "丢"了', facets=Facets(language="zh")),
]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_own_formats_lose_nothing(format: str, tmp_path: Path) -> None:
    records = [*CONVERSATIONS, TOOL_USE, *LABELLED]
    assert round_trip(records, format, tmp_path) == records
    assert losses(format, statistics(records)) == []


@pytest.mark.parametrize("format", ["alpaca", "sharegpt"])
def test_conversations_survive_alpaca_and_sharegpt(format: str, tmp_path: Path) -> None:
    records = CONVERSATIONS if format == "alpaca" else [*CONVERSATIONS, TOOL_USE]
    assert round_trip(records, format, tmp_path) == records
    assert losses(format, statistics(records)) == []


def test_conversations_survive_openai_but_for_ids_and_facets(tmp_path: Path) -> None:
    flagged = Record(
        id="d", messages=[Message(role="user", content="Is it?"), Message(role="assistant", content="no", train=False)]
    )
    records = [*CONVERSATIONS, TOOL_USE, flagged]
    back = round_trip(records, "openai", tmp_path)
    said = [record.model_dump(include={"messages", "tools", "chosen", "rejected"}) for record in records]
    assert [record.model_dump(include={"messages", "tools", "chosen", "rejected"}) for record in back] == said
    assert [loss.code for loss in losses("openai", statistics(records))] == ["identity"]


@pytest.mark.parametrize(
    "name", ["alpaca_en_demo.json", "glaive_toolcall_zh_demo.json", "dpo_en_demo.json", "kto_en_demo.json", "mllm_demo.json"]
)
@pytest.mark.parametrize("format", ["jsonl", "csv", "sharegpt"])
def test_real_files_come_back_the_same(name: str, format: str, tmp_path: Path) -> None:
    records = imported(shared(f"llamafactory/{name}"))
    assert round_trip(records, format, tmp_path) == records


def test_real_alpaca_comes_back_from_alpaca_and_openai(tmp_path: Path) -> None:
    records = imported(shared("llamafactory/alpaca_zh_demo.json"))
    assert round_trip(records, "alpaca", tmp_path) == records
    assert round_trip(records, "openai", tmp_path) == records


def test_formula_cells_are_neutralised() -> None:
    text = b"".join(export(LABELLED, "csv")).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[2][2:4] == ["'=SUM(B7)", "'-x"]
    assert not [cell for row in rows[1:] for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_losses_are_told_with_their_number() -> None:
    flagged = Record(id="d", messages=[Message(role="user", content="q"), Message(role="assistant", content="a", train=False)])
    records = [*CONVERSATIONS, TOOL_USE, *LABELLED, flagged]
    told = {loss.code: loss.count for loss in losses("alpaca", statistics(records))}
    assert told == {"only_text": 1, "turned": 4, "tool_turns": 1, "train_flags": 1, "tools": 1}
    exported = json.loads(b"".join(export(records, "alpaca")))
    assert len(exported) == len(records) - told["only_text"] - told["tool_turns"]
    assert all(loss.message for loss in losses("alpaca", statistics(records)))


def test_nothing_exports_to_an_empty_list_and_unknown_formats_are_refused() -> None:
    assert json.loads(b"".join(export([], "alpaca"))) == []
    with pytest.raises(UserError, match="choose one of"):
        export([], "xml")
    assert set(SUFFIXES) == set(FORMATS)

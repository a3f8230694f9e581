"""The index of a version: facets, ranges, words, order and paging agree with a plain look at the records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from workers.data.index import scanning
from workers.data.index.builder import IndexBuilder
from workers.data.index.facts import categories, record_kind, record_language, record_words
from workers.data.index.reader import Index
from workers.data.records import slim_digest
from workers.spec.filters import RecordFilter

LABELS = ("card", "cash", "Überweisung", "")
SOURCES = ("web", "book", "论坛")


def records(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        record: dict[str, Any] = {"id": f"r{number}", "text": f"Text {number} 书院第{number % 10}课 " + "x" * (number % 37)}
        if LABELS[number % 4]:
            record["label"] = LABELS[number % 4]
        facets: dict[str, Any] = {"source": SOURCES[number % 3], "language": "zh" if number % 2 else "en"}
        if number % 5:
            facets["quality"] = (number % 5) / 5
        record["facets"] = facets
        if number % 7 == 0:
            record["extra"] = {"date": f"2026-01-{1 + number % 28:02d}", "split": "test"}
        yield record


def build(folder: Path, rows: list[dict[str, Any]]) -> Index:
    builder = IndexBuilder(folder / "made.index")
    for row in rows:
        words = record_words(row)
        builder.add(row, len(json.dumps(row)), slim_digest(row), words, record_language(row, words))
    return Index(builder.finish())


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return list(records(1000))


@pytest.fixture
def index(tmp_path: Path, rows: list[dict[str, Any]]) -> Index:
    return build(tmp_path, rows)


def positions(index: Index, wanted: RecordFilter, limit: int = 37) -> list[int]:
    """Every page, one after the other."""
    found: list[int] = []
    after = -1
    while True:
        page = index.page(wanted, after=after, limit=limit)
        found += page.positions
        if page.following is None:
            return found
        after = page.following


def test_facets_ranges_and_words_combine(index: Index, rows: list[dict[str, Any]]) -> None:
    """S6.7: many conditions at once, each as one would expect."""
    wanted = RecordFilter(
        q="书院 -第3课",
        values={"label": ["card", "Überweisung"], "source": ["论坛"], "language": ["en"], "split": ["test", "(none)"]},
        ranges={"length": (20, 40), "quality": (0.2, 0.6)},
    )
    expected = [
        number
        for number, row in enumerate(rows)
        if row.get("label") in {"card", "Überweisung"}
        and row["facets"]["source"] == "论坛"
        and row["facets"]["language"] == "en"
        and 20 <= len(row["text"]) <= 40
        and 0.2 <= row["facets"].get("quality", -1) <= 0.6
        and "第3课" not in row["text"]
    ]
    assert expected
    assert positions(index, wanted) == expected


@pytest.mark.parametrize("query", ["书", "第7课", "TEXT 99", '"text 99 书"', "-第1课", "nothing 书", "x" * 30, "-text", "é"])
def test_words_are_found_whatever_their_length(
    index: Index, rows: list[dict[str, Any]], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One character of Chinese, phrases, words that must not occur; small and large blocks find the same."""
    wanted = RecordFilter(q=query)
    needed, unwanted = wanted.words
    expected = [
        number
        for number, row in enumerate(rows)
        if all(word in row["text"].lower() for word in needed) and not any(word in row["text"].lower() for word in unwanted)
    ]
    assert positions(index, wanted) == expected
    monkeypatch.setattr(scanning, "FIRST_BLOCK", 1)
    monkeypatch.setattr(scanning, "FEW", 0)
    masked = RecordFilter(q=query, values={"language": ["zh"]})
    assert positions(index, masked) == [number for number in expected if number % 2]


def test_order_puts_what_is_unknown_last(index: Index, rows: list[dict[str, Any]]) -> None:
    longest = positions(index, RecordFilter(sort="-length"))
    lengths = [len(rows[position]["text"]) for position in longest]
    assert lengths == sorted(lengths, reverse=True)
    dated = positions(index, RecordFilter(sort="date"))
    known = [rows[position]["extra"]["date"] for position in dated if "extra" in rows[position]]
    assert known == sorted(known)
    assert all("extra" not in rows[position] for position in dated[len(known) :])
    assert sorted(dated) == list(range(1000))


@pytest.mark.parametrize("sort", ["", "-quality"])
def test_pages_lead_forwards_and_back(index: Index, sort: str) -> None:
    wanted = RecordFilter(values={"label": ["cash"]}, sort=sort)
    first = index.page(wanted, limit=100)
    assert (first.total, first.start, first.previous) == (250, 0, None)
    assert first.following is not None
    second = index.page(wanted, after=first.following, limit=100)
    assert (second.start, second.previous) == (100, -1)
    assert first.last is not None
    last = index.page(wanted, after=first.last, limit=100)
    assert (len(last.positions), last.start, last.following, last.last) == (50, 200, None, None)
    assert last.previous is not None
    assert index.page(wanted, after=last.previous, limit=100).positions == second.positions
    assert [*first.positions, *second.positions, *last.positions] == positions(index, wanted)


def test_distributions_count_records_and_bytes(index: Index, rows: list[dict[str, Any]]) -> None:
    facets = index.facets()
    assert facets["label"] == {name: [250, sum(len(json.dumps(row)) for row in rows[at::4])] for at, name in enumerate(LABELS)}
    narrowed = index.facets(index.mask(RecordFilter(values={"source": ["web"]})))
    assert narrowed["source"].keys() == {"web"}
    assert index.ranges()["quality"] == [0.2, 0.8]


def test_records_are_found_by_their_id(index: Index) -> None:
    assert positions(index, RecordFilter(q="id:r7")) == [7]
    assert positions(index, RecordFilter(q="id:r7 id:r21 书院", values={"language": ["zh"]})) == [7, 21]
    assert positions(index, RecordFilter(q="id:r7 nothing")) == []
    assert positions(index, RecordFilter(q="id:nobody")) == []
    assert positions(index, RecordFilter(q='"id:r7"')) == [], "a phrase is only words"


def test_picked_records_outside_the_version_are_ignored(index: Index) -> None:
    assert positions(index, RecordFilter(positions=[999, 3, 1000, 5])) == [3, 5, 999]
    assert positions(index, RecordFilter(values={"label": ["never heard of"]})) == []


def test_many_values_of_a_facet_do_not_break_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.data.index.builder.MAXIMUM_VALUES", 10)
    rows = [{"id": str(number), "text": "a", "facets": {"source": f"page {number}"}} for number in range(50)]
    index = build(tmp_path, rows)
    assert positions(index, RecordFilter(values={"source": ["page 3"]})) == [3]
    assert positions(index, RecordFilter(values={"source": ["page 40"]})) == []
    assert sum(count for count, _bytes in index.facets()["source"].values()) == 9


def test_unknown_conditions_are_refused() -> None:
    for fields in ({"values": {"colour": ["red"]}}, {"ranges": {"weight": (1, 2)}}, {"q": "x" * 501}):
        with pytest.raises(ValidationError):
            RecordFilter.model_validate(fields)
    assert RecordFilter(sort="weight").sort == ""


@pytest.mark.parametrize(
    ("data", "kind", "state"),
    [
        ({"text": "a"}, "text", "open"),
        ({"text": "a", "label": "b"}, "classification", "labelled"),
        ({"messages": [{"role": "user", "content": "q"}]}, "conversation", "open"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "conversation", "answered"),
        ({"messages": [], "chosen": [{"role": "assistant"}], "rejected": []}, "preference", "labelled"),
        ({"text": "q", "choices": ["a", "b"], "answer": 0}, "choice", "answered"),
        ({"messages": [], "responses": [{"id": "A", "content": "a"}]}, "ranking", "open"),
        ({"messages": [], "desirable": False}, "verdict", "labelled"),
    ],
)
def test_kind_and_label_state(data: dict[str, Any], kind: str, state: str) -> None:
    found = categories(data, "en")
    assert (record_kind(data), found[0], found[7]) == (kind, kind, state)

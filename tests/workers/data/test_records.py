"""S6.5: the canonical record, its file and its digests."""

import hashlib
from pathlib import Path

import pytest

from workers.data.records import (
    as_messages,
    as_text,
    content_digest,
    dataset_digest,
    read_records,
    write_records,
)
from workers.spec.errors import UserError
from workers.spec.record import Facets, Message, Record

RECORDS = [
    Record(id="1", text="卡丢了", label="lost_card", facets=Facets(language="zh")),
    Record(
        id="2",
        messages=[
            Message(role="user", content="hi"),
            Message(role="assistant", content="", tool_calls=[{"function": {"name": "f", "arguments": {}}}], train=False),
        ],
        extra={"a": [1, None]},
    ),
    Record(id="3", text="1+1?", choices=["1", "2"], answer=1),
]


def test_written_records_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    digest, count = write_records(path, RECORDS)
    assert list(read_records(path)) == RECORDS
    assert (digest, count) == (dataset_digest(path), 3)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_content_digest_ignores_the_id_only() -> None:
    assert content_digest(RECORDS[0]) == content_digest(RECORDS[0].model_copy(update={"id": "9"}))
    assert content_digest(RECORDS[0]) != content_digest(RECORDS[0].model_copy(update={"label": "x"}))


def test_labelled_text_becomes_question_and_answer() -> None:
    messages = as_messages(RECORDS[0], instruction="Name the intent.", system_prompt="Be brief.")
    assert messages is not None
    assert [(message.role, message.content) for message in messages] == [
        ("system", "Be brief."),
        ("user", "Name the intent.\n卡丢了"),
        ("assistant", "lost_card"),
    ]


def test_choices_are_listed_by_letter() -> None:
    messages = as_messages(RECORDS[2])
    assert messages is not None
    assert [message.content for message in messages] == ["1+1?\nA. 1\nB. 2", "B. 2"]


def test_plain_text_is_no_conversation_and_conversations_have_text() -> None:
    assert as_messages(Record(id="x", text="only text")) is None
    assert as_text(Record(id="x", text="only text")) == "only text"
    assert as_text(RECORDS[1]) == "hi"
    assert as_text(Record(id="x")) is None


def test_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"id":"1"}\n\n{"id":2}\n')
    with pytest.raises(UserError, match=r"Line 3 of records\.jsonl"):
        list(read_records(path))

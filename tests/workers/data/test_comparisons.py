"""S6.5: preferences, verdicts, rankings, MOSS, Guanaco, LabelLLM and WanJuan come in and go out again; losses are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.data.test_exporters import imported, round_trip, statistics
from tests.workers.data.test_importing import read, shared
from workers.data.exporters import LABELS, SUFFIXES, export, exported_count, losses
from workers.data.importing import Importer, Settings
from workers.data.preferences import preference_pairs
from workers.spec.record import Answer, Facets, Media, Message, Record, Response


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def recognised(path: Path, content: str) -> tuple[str, list[dict[str, Any]]]:
    good, bad = read(path, content)
    assert bad == []
    return Importer(path, path.name, Settings()).format, good


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ASKED, GOOD, BAD = turn("user", "Which is it?"), turn("assistant", "This one."), turn("assistant", "None of them.")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Which is it?", "chosen": "This one.", "rejected": "None of them."},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {
            "chosen": "\n\nHuman: Which is it?\n\nAssistant: This one.",
            "rejected": "\n\nHuman: Which is it?\n\nAssistant: None of them.",
        },
        {"question": "Which is it?", "chosen": "This one.", "rejected": "None of them.", "system": ""},
    ],
)
def test_trl_preferences_with_and_without_prompt(row: dict[str, Any], tmp_path: Path) -> None:
    format, (record, *_) = recognised(tmp_path / "a.jsonl", lines(row, row))
    assert format == "preference"
    assert (record["messages"], record["chosen"], record["rejected"]) == ([ASKED], [GOOD], [BAD])


def test_answers_without_a_common_prompt_are_told(tmp_path: Path) -> None:
    _, errors = read(tmp_path / "a.jsonl", lines({"chosen": "yes", "rejected": "no"}, {"chosen": [GOOD], "rejected": [BAD]}))
    assert errors == [(1, "no_prompt"), (2, "no_prompt")]


def test_kto_in_both_spellings(tmp_path: Path) -> None:
    row = {"prompt": "Which is it?", "completion": "This one.", "label": True}
    format, (record, *_) = recognised(tmp_path / "a.jsonl", lines(row, row))
    assert (format, record["messages"], record["desirable"]) == ("kto", [ASKED, GOOD], True)
    real, _ = read(shared("llamafactory/kto_en_demo.json"))
    assert {record["desirable"] for record in real} == {True, False}
    assert not [record for record in real if "label" in record]


RANKED = Record(
    id="r",
    messages=[Message(role="user", content="Which?")],
    responses=[Response(id="A", content="a", model="m"), *(Response(id=name, content=name.lower()) for name in "BCD")],
    annotations=[Answer(q="ranking", type="ranking", value=[["A"], ["B", "C"], ["D"]])],
    facets=Facets(language="en"),
)


def test_ranking_gives_exactly_the_pairs_that_it_tells_apart() -> None:
    """A > B = C > D: five pairs, and ties never make one."""
    pairs = {
        (pair.chosen[0].content, pair.rejected[0].content) for pair in preference_pairs(RANKED) if pair.chosen and pair.rejected
    }
    assert pairs == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    rows = [json.loads(line) for line in b"".join(export([RANKED], "preference")).splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == 5
    assert [loss.code for loss in losses("preference", statistics([RANKED]))] == ["ranking_pairs"]


def test_ratings_and_choices_tell_answers_apart_too() -> None:
    rated = RANKED.model_copy(
        update={"annotations": None, "responses": [Response(id=str(n), content=str(n), rating=n % 2) for n in range(3)]}
    )
    assert [pair.id for pair in preference_pairs(rated)] == ["r:1>0", "r:1>2"]
    two = rated.model_copy(
        update={
            "responses": rated.responses[:2] if rated.responses else [],
            "annotations": [Answer(q="x", type="pairwise", value="a")],
        }
    )
    assert [pair.id for pair in preference_pairs(two)] == ["r:0>1"]


def test_ranked_answers_come_in_by_rank_or_by_ranking(tmp_path: Path) -> None:
    answers = [{"answer": "x", "rank": 2, "model": "m"}, {"answer": "y", "rank": 1}, {"answer": "z", "rank": 2}]
    format, (record, other) = recognised(
        tmp_path / "a.jsonl",
        lines(
            {"prompt": "Which?", "answers": answers}, {"prompt": "Which?", "answers": ["x", "y", "z"], "ranking": [[1], [0, 2]]}
        ),
    )
    assert format == "ranking"
    assert record["annotations"] == other["annotations"] == [{"q": "ranking", "type": "ranking", "value": [["B"], ["A", "C"]]}]
    assert record["responses"][0] == {"id": "A", "content": "x", "model": "m"}


PREFERENCE = Record(
    id="p",
    messages=[Message(role="system", content="Be kind."), Message(role="user", content="你好？")],
    chosen=[Message(role="assistant", content="好"), Message(role="user", content="?"), Message(role="assistant", content="!")],
    rejected=[Message(role="assistant", content="不好")],
    tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
    label="greeting",
    facets=Facets(language="zh", source="x", quality=0.5),
    extra={"n": [1, {"x": None}]},
)
VERDICT = Record(
    id="v",
    messages=[Message(role="user", content="Is it?"), Message(role="assistant", content="It is.")],
    desirable=False,
    label="x",
    facets=Facets(language="en"),
    annotations=[Answer(q="why", type="text", value="wrong")],
)
MOSS = Record(
    id="7",
    messages=[
        Message(role="system", content="MOSS is a model."),
        Message(role="user", content="What is the weather?"),
        Message(
            role="assistant",
            content="I should search.",
            tool_calls=[{"type": "function", "function": {"name": "Search", "arguments": {"input": "the weather"}}}],
        ),
        Message(role="tool", content="Sunny"),
        Message(role="assistant", content="It is sunny."),
        Message(role="user", content="Thanks"),
        Message(role="assistant", content="None"),
    ],
    facets=Facets(language="en"),
)
PLAIN = Record(
    id="g",
    messages=[
        Message(role="user", content="Is it\ntrue?"),
        Message(role="assistant", content="It is."),
        Message(role="user", content="Really?"),
        Message(role="assistant", content="Yes."),
    ],
    facets=Facets(language="en"),
    extra={"k": "v"},
)
PICTURES = Record(
    id="w",
    text="A start <image>\nand the end.",
    modality="image",
    media=[
        Media(kind="image", url="http://a/b.jpg", width=400, height=266, extra={"url_sha256": "019c"}),
        Media(kind="image", url="http://a/c.jpg", caption="c"),
    ],
    facets=Facets(language="en"),
)
CLIP = Record(
    id="c",
    text="A dog runs",
    modality="video",
    media=[Media(kind="video", name="a/b.mp4", duration_ms=1500, caption="A dog runs")],
    annotations=[
        Answer(q="segments", type="segments", value=[{"id": "1", "start_ms": 0, "end_ms": 900, "label": "run", "text": "runs"}])
    ],
)
SAME = {
    "preference": [PREFERENCE],
    "reward": [PREFERENCE],
    "kto": [VERDICT],
    "ranking": [RANKED],
    "moss": [MOSS, PLAIN],
    "guanaco": [PLAIN],
    "labelllm": [RANKED, PLAIN, VERDICT],
    "wanjuan": [PICTURES, CLIP, Record(id="t", text="只有文字")],
    "sharegpt": [VERDICT],
    "alpaca": [VERDICT.model_copy(update={"label": None})],
    "csv": [RANKED, PREFERENCE, VERDICT, PICTURES, CLIP],
}


@pytest.mark.parametrize("format", SAME)
def test_what_a_format_can_say_comes_back_the_same(format: str, tmp_path: Path) -> None:
    back = round_trip(SAME[format], format, tmp_path)
    assert [without_guess(record) for record in back] == [without_guess(record) for record in SAME[format]]
    assert losses(format, statistics(SAME[format])) == []
    assert exported_count(format, statistics(SAME[format])) == len(SAME[format])


def without_guess(record: Record) -> Record:
    return record.model_copy(update={"facets": record.facets.model_copy(update={"language": None})})


@pytest.mark.parametrize(
    "format", [name for name in LABELS if name not in ("jsonl", "csv") and SUFFIXES[name].startswith(".json")]
)
def test_every_format_leaves_out_as_many_as_it_says(format: str) -> None:
    records = [
        PREFERENCE,
        VERDICT,
        MOSS,
        PLAIN,
        PICTURES,
        CLIP,
        RANKED,
        Record(id="t", text="x"),
        Record(id="l", text="x", label="y"),
    ]
    one_each = [record for record in records if record is not RANKED] if format in ("preference", "reward", "kto") else records
    if format == "kto":
        one_each = [record for record in one_each if record is not PREFERENCE]
    stats = statistics(one_each)
    written = b"".join(export(one_each, format))
    rows = json.loads(written) if written.startswith(b"[") else written.splitlines()
    assert len(rows) == exported_count(format, stats)
    assert all(loss.message for loss in losses(format, stats))


def test_moss_and_guanaco_as_published(tmp_path: Path) -> None:
    chat = {"turn_1": {"Human": "<|Human|>: 你好<eoh>\n", "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                       "Commands": "<|Commands|>: None<eoc>\n", "Tool Responses": "<|Results|>: None<eor>\n",
                       "MOSS": "<|MOSS|>: 您好！<eom>\n"}}  # fmt: skip
    row = {"conversation_id": 3, "meta_instruction": "M", "num_turns": 1, "chat": chat, "category": "Writing"}
    format, (record,) = recognised(tmp_path / "a.jsonl", lines(row))
    assert format == "moss"
    assert record == {
        "id": "3",
        "messages": [turn("system", "M"), turn("user", "你好"), turn("assistant", "您好！")],
        "extra": {"category": "Writing"},
    }
    format, (record,) = recognised(tmp_path / "b.jsonl", lines({"text": "### Human: Hi there### Assistant: Hello.### Human: ok"}))
    assert (format, [message["content"] for message in record["messages"]]) == ("guanaco", ["Hi there", "Hello.", "ok"])


def test_labelllm_answers_with_one_parent_are_there_to_rank(tmp_path: Path) -> None:
    said = [
        {"message_id": "1", "message_type": "send", "content": "Q1"},
        {"message_id": "2", "parent_id": "1", "message_type": "receive", "content": "A1"},
        {"message_id": "2b", "parent_id": "1", "message_type": "receive", "content": "left aside"},
        {"message_id": "3", "parent_id": "2", "message_type": "send", "content": "Q2"},
        {"message_id": "4", "parent_id": "3", "message_type": "receive", "content": "x"},
        {"message_id": "5", "parent_id": "3", "message_type": "receive", "content": "y"},
    ]
    format, (record,) = recognised(tmp_path / "a.jsonl", lines({"prompt": "Q1", "conversation": said, "custom": {"batch": 1}}))
    assert format == "labelllm"
    assert [message["content"] for message in record["messages"]] == ["Q1", "A1", "Q2"]
    assert record["responses"] == [{"id": "4", "content": "x"}, {"id": "5", "content": "y"}]
    assert record["extra"] == {"batch": 1}


def test_wanjuan_pictures_stand_in_the_text(tmp_path: Path) -> None:
    row = {
        "id": "BkKuk1zxK3YAbgNSWYik",
        "img_list": [{"url": "http://x/1.jpg", "sha256": "019c", "caption": "", "width": "400", "height": "266"}],
        "content": "![](http://x/1.jpg)\n正文 ![](http://x/other.jpg)",
    }
    format, (record,) = recognised(tmp_path / "a.jsonl", lines(row))
    assert (format, record["text"], record["modality"]) == ("wanjuan", "<image>\n正文 ![](http://x/other.jpg)", "image")
    assert record["media"] == [
        {"kind": "image", "url": "http://x/1.jpg", "width": 400, "height": 266, "extra": {"url_sha256": "019c"}}
    ]


@pytest.mark.parametrize("name", ["dpo_zh_demo.json", "kto_en_demo.json"])
def test_real_preferences_come_back_from_trl(name: str, tmp_path: Path) -> None:
    records = imported(shared(f"llamafactory/{name}"))
    formats = ("preference", "reward") if name.startswith("dpo") else ("kto",)
    for format in formats:
        kept = [record for record in records if not record.chosen or record.chosen[:1] != (record.rejected or [])[:1]]
        back = round_trip(records, format, tmp_path)
        assert back == (kept if format == "reward" else records)
        assert exported_count(format, statistics(records)) == len(back)

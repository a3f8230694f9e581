"""S6.5: labels of CoNLL, Label Studio and LabelU come in as annotations, go out again, and keep what those cannot say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.data.test_comparisons import recognised, without_guess
from tests.workers.data.test_exporters import round_trip, statistics
from tests.workers.data.test_importing import read, shared
from tests.workers.data.test_media import bring_in
from workers.data.exporters import export, exported_count, losses
from workers.spec.record import Answer, Facets, Media, Record

CONLL = """-DOCSTART- -X- O O

EU NNP B-ORG
rejects VBZ O
New NNP B-LOC
York NNP I-LOC
Paris NNP B-LOC

小 B-PER
明 E-PER
在 O
"""


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a"])
def test_conll_becomes_texts_with_spans(name: str, tmp_path: Path) -> None:
    format, (english, chinese) = recognised(tmp_path / name, CONLL)
    assert format == "conll"
    assert english["text"] == "EU rejects New York Paris"
    spans = english["annotations"][0]["value"]
    assert [(span["label"], span["text"], english["text"][span["start"] : span["end"]]) for span in spans] == [
        ("ORG", "EU", "EU"), ("LOC", "New York", "New York"), ("LOC", "Paris", "Paris")
    ]  # fmt: skip
    assert chinese["text"] == "小明在"
    assert chinese["annotations"][0]["value"][0]["text"] == "小明"


def span(name: str, start: int, end: int, text: str, label: str) -> dict[str, Any]:
    return {"id": name, "start": start, "end": end, "label": label, "text": text[start:end]}


WORDS = "👍🏽 Ann  met 小明 in\nSan José!"
TAGGED = Record(
    id="t",
    text=WORDS,
    label="news",
    annotations=[
        Answer(q="mood", type="choice", value=["good"]),
        Answer(
            q="names",
            type="spans",
            value=[span("x9", 3, 6, WORDS, "PER"), span("a1", 12, 14, WORDS, "PER"), span("b", 18, 26, WORDS, "LOC")],
        ),
    ],
    facets=Facets(language="en", source="here"),
    extra={"k": 1},
)
PLACES = {"image": {"w": 200, "h": 100}, "regions": [
    {"id": "r1", "kind": "box", "x": 10, "y": 20.5, "w": 33.3, "h": 5, "label": "car"},
    {"id": "r2", "kind": "polygon", "points": [[1, 2], [30.25, 4], [5, 60]], "label": "tree"},
    {"id": "r3", "kind": "point", "x": 7.125, "y": 9, "label": "eye"},
    {"id": "r4", "kind": "box", "x": 50, "y": 40, "w": 20, "h": 10, "rotation": 30, "label": "car"},
]}  # fmt: skip
SEEN = Record(
    id="s",
    modality="image",
    text="A street",
    media=[Media(kind="image", name="dir/a.jpg", width=200, height=100)],
    annotations=[
        Answer(q="places", type="regions", value=PLACES),
        Answer(q="scene", type="choice", value="street"),
        Answer(q="more", type="choice", value=["a", "b"]),
        Answer(q="said", type="text", value="A street with cars"),
        Answer(q="stars", type="rating", value=4),
        Answer(q="kind", type="tree", value=[["animal", "cat"]]),
        Answer(q="order", type="ranking", value=[["A"], ["B"]]),
    ],
)
HEARD = Record(
    id="h",
    modality="audio",
    media=[Media(kind="audio", name="a.wav", duration_ms=5000)],
    annotations=[
        Answer(q="talk", type="segments", value=[
            {"id": "1", "start_ms": 0, "end_ms": 1234, "label": "Ann", "text": "hello"},
            {"id": "2", "start_ms": 1234, "end_ms": 5000, "label": "Bob"},
        ]),
        Answer(q="marks", type="frames", value=[{"id": "f", "at_ms": 77, "label": "clap"}]),
    ],
)  # fmt: skip
SAME = {
    "conll": [TAGGED],
    "labelstudio": [TAGGED, SEEN, HEARD, Record(id="p", text="nothing said")],
    "labelu": [SEEN, HEARD, Record(id="e", modality="video", media=[Media(kind="video", name="v.mp4")])],
    "csv": [TAGGED, SEEN, HEARD],
}


@pytest.mark.parametrize("format", SAME)
def test_annotations_come_back_the_same(format: str, tmp_path: Path) -> None:
    back = round_trip(SAME[format], format, tmp_path)
    assert [without_guess(record) for record in back] == [without_guess(record) for record in SAME[format]]
    assert losses(format, statistics(SAME[format])) == []
    assert exported_count(format, statistics(SAME[format])) == len(SAME[format])


def test_spans_that_overlap_are_told_before_and_lost(tmp_path: Path) -> None:
    text = "New York City"
    both = Record(
        id="o",
        text=text,
        annotations=[Answer(q="s", type="spans", value=[span("1", 0, 8, text, "A"), span("2", 4, 13, text, "B")])],
    )
    assert [loss.code for loss in losses("conll", statistics([both]))] == ["overlapping_spans"]
    (back,) = round_trip([both], "conll", tmp_path)
    assert back.annotations
    assert [item["id"] for item in back.annotations[0].value] == ["1"]


def test_conll_tokens_read_as_other_programs_expect() -> None:
    lines = b"".join(export([TAGGED], "conll")).decode().splitlines()
    assert lines[0].startswith("# record = ")
    assert [line.split()[-1] for line in lines if line.startswith(("Ann ", "小 ", "明 ", "San ", "José "))] == [
        "B-PER", "B-PER", "I-PER", "B-LOC", "I-LOC"
    ]  # fmt: skip


def test_label_studio_tasks_as_it_writes_them(tmp_path: Path) -> None:
    """Percent to pixels, UTF-16 units to code points, boxes turned about their corner; others' work is kept aside."""
    text = "😀😀 Bob is here"
    tasks = [
        {
            "id": 7,
            "data": {"text": text},
            "annotations": [
                {"result": [
                    {"from_name": "ner", "to_name": "text", "type": "labels", "id": "a",
                     "value": {"start": 5, "end": 8, "text": "Bob", "labels": ["PER"]}},
                    {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}},
                ]},
                {"result": [], "completed_by": 2},
            ],
            "predictions": [{"model_version": "v1", "score": 0.9, "result": []}],
        },
        {
            "id": 8,
            "data": {"image": "/data/upload/1/abc-cat.jpg"},
            "annotations": [{"result": [
                {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "id": "b",
                 "original_width": 400, "original_height": 200,
                 "value": {"x": 50, "y": 50, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["cat"]}},
            ]}],
        },
    ]  # fmt: skip
    format, (first, second) = recognised(tmp_path / "a.json", json.dumps(tasks))
    assert format == "labelstudio"
    assert first["annotations"] == [
        {"q": "ner", "type": "spans", "value": [{"id": "a", "start": 3, "end": 6, "label": "PER", "text": "Bob"}]},
        {"q": "sentiment", "type": "choice", "value": "Positive"},
    ]
    assert set(first["extra"]) == {"other_annotations", "predictions"}
    assert second["media"] == [{"kind": "image", "name": "abc-cat.jpg"}]
    region = second["annotations"][0]["value"]["regions"][0]
    # 40 x 20 pixels from (200, 100), turned clockwise about that corner: it covers x 180..200, y 100..140.
    assert region == {"id": "b", "kind": "box", "x": 170, "y": 110, "w": 40, "h": 20, "label": "cat", "rotation": 90}


def test_labelu_lines_as_it_writes_them(tmp_path: Path) -> None:
    row = {
        "sample_name": "test.png",
        "config": {"rectTool": [{"color": "#f60", "key": "车", "value": "car"}]},
        "meta_data": {"width": 4096, "height": 2731, "rotate": 0},
        "annotations": {
            "rectTool": {"toolName": "rectTool", "result": [
                {"id": "i", "order": 1, "label": "car", "x": 10, "y": 20, "width": 30, "height": 40}]},
            "tagTool": {"toolName": "tagTool", "result": [{"id": "q", "type": "tag", "value": {"scene": ["street"]}}]},
            "lineTool": {"toolName": "lineTool", "result": [{"id": "l", "points": []}]},
        },
    }  # fmt: skip
    format, (record,) = recognised(tmp_path / "a.jsonl", json.dumps(row))
    assert format == "labelu"
    assert record["media"] == [{"kind": "image", "name": "test.png", "width": 4096, "height": 2731}]
    assert record["annotations"] == [
        {"q": "regions", "type": "regions", "value": {"image": {"w": 4096, "h": 2731}, "regions": [
            {"id": "i", "kind": "box", "x": 10, "y": 20, "w": 30, "h": 40, "label": "car"}]}},
        {"q": "scene", "type": "choice", "value": "street"},
    ]  # fmt: skip
    assert list(record["extra"]) == ["lineTool"]


def test_tasks_that_make_no_sense_are_told(tmp_path: Path) -> None:
    box = {
        "from_name": "b",
        "type": "rectanglelabels",
        "value": {"x": 1, "y": 1, "width": 1, "height": 1, "rectanglelabels": ["x"]},
    }
    far = {"from_name": "n", "type": "labels", "value": {"start": 90, "end": 99, "text": "no", "labels": ["x"]}}
    tasks = [{"data": {"text": "x"}, "annotations": [{"result": [item]}]} for item in (box, far)]
    _, errors = read(tmp_path / "a.json", json.dumps([*tasks, {"data": {"text": "good"}, "annotations": []}]))
    assert [code for _, code in errors] == ["no_picture_size", "span_outside"]


def test_real_photographs_with_boxes_come_back_from_label_studio(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(shared("images_bbox/2011_000003.json").read_bytes())
    records, refused, importer = bring_in(path)
    assert (refused, importer.format) == ([], "labelme")
    assert round_trip(records, "labelstudio", tmp_path) == records
    assert round_trip(records, "labelu", tmp_path) == records

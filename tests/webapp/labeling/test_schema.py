"""Questions and answers of every type: right ones are stored in one form, wrong ones told in one sentence (S6.9)."""

from typing import Any

import pytest
from django.utils import translation

from webapp.core.errors import UserError
from webapp.labeling.presets import PRESETS
from webapp.labeling.ready import READY_MADE, Wanted
from webapp.labeling.schema import checked_schema, checked_value, labels_of
from webapp.labeling.wording import described_fields, in_short

TEXT = "Ada 👩‍🚀 met Bob."
RECORD: dict[str, Any] = {
    "id": "r",
    "text": TEXT,
    "messages": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "weather"}]},
        {"role": "assistant", "content": "sunny"},
    ],
    "responses": [{"id": "A", "content": "one"}, {"id": "B", "content": "two"}, {"id": "C", "content": "three"}],
    "media": [
        {"kind": "image", "width": 100, "height": 50},
        {"kind": "audio", "duration_ms": 5000},
        {"kind": "video", "duration_ms": 9000},
    ],
    "annotations": [{"q": "old", "type": "text", "value": "proposed"}],
}
TREE = [{"value": "animal", "children": [{"value": "cat"}, "dog"]}, "plant"]
MARK = {"id": "m", "label": "x"}


def question(kind: str, **options: Any) -> dict[str, Any]:
    return {"name": "q", "type": kind, **options}


def answer(field: dict[str, Any], value: Any, record: dict[str, Any] = RECORD) -> Any:
    schema = checked_schema({"fields": [field]})
    checked = checked_value(schema, [{"q": "q", "type": field["type"], "value": value}], record)
    return checked[0]["value"] if checked else None


SPANS = question("spans", labels=["x"])
BOX = question("regions", labels=["x"], tools=["box", "polygon", "point"])
SOUND = question("segments", labels=["x"], transcribe=True)
FILM = question("frames", labels=["x"])
RANK = question("ranking")
RATE = question("response_rating", dimensions=[{"name": "true"}])
IMAGE = {"w": 100, "h": 50}


def span(start: Any, end: Any, text: str | None = None, **more: Any) -> dict[str, Any]:
    return {**MARK, "start": start, "end": end, **({} if text is None else {"text": text}), **more}


def regions(*items: dict[str, Any], image: Any = IMAGE) -> dict[str, Any]:
    return {"image": image, "regions": [{**MARK, "id": str(number), **item} for number, item in enumerate(items)]}


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        (question("choice", choices=["a", "b"]), "b", "b"),
        (question("choice", choices=["a", "b"], multiple=True), ["b", "a"], ["a", "b"]),
        (question("tree", nodes=TREE), [["animal", "cat"]], [["animal", "cat"]]),
        (question("tree", nodes=TREE, multiple=True), [["plant"], ["animal"]], [["animal"], ["plant"]]),
        (question("number", min=0, max=1, step=0.1), 0, 0),
        (question("number", step=0.1), 0.3, 0.3),
        (question("rating"), 4.0, 4),
        (SPANS, [span(4, 7, "👩‍🚀")], [{"id": "m", "start": 4, "end": 7, "label": "x", "text": "👩‍🚀"}]),
        (BOX, regions({"kind": "box", "x": -0.4, "y": 0, "w": 20, "h": 50.5}), [{"x": 0, "y": 0, "w": 19.6, "h": 50}]),
        (BOX, regions({"kind": "box", "x": 90, "y": 10, "w": 15, "h": 5, "rotation": 370}), [{"x": 90, "rotation": 10}]),
        (BOX, regions({"kind": "polygon", "points": [[0, 0], [9, 0], [9, 9]]}), [{"points": [[0, 0], [9, 0], [9, 9]]}]),
        (BOX, regions({"kind": "point", "x": 3, "y": 4}), [{"x": 3, "y": 4}]),
        (BOX, regions(), []),
        (FILM, [{**MARK, "at_ms": 9050}], [{**MARK, "at_ms": 9000}]),
        (RANK, [["C"], ["B", "A"]], [["C"], ["A", "B"]]),
        (question("pairwise"), "both_bad", "both_bad"),
        (RATE, {name: {"true": 3} for name in "ABC"}, {name: {"true": 3} for name in "ABC"}),
        ({**RATE, "required": False}, {"B": {"true": 3}, "A": {"true": None}}, {"B": {"true": 3}}),
        (question("trace"), [{"index": 2, "verdict": "right"}, {"index": 1, "verdict": "wrong", "note": "?"}],
         [{"index": 1, "verdict": "wrong", "note": "?"}, {"index": 2, "verdict": "right"}]),
        (question("dialogue"), [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "train": False}],
         [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "train": False}]),
        (question("spans", labels=["x"], source="messages.last"), [span(0, 3)],
         [{"id": "m", "start": 0, "end": 3, "label": "x", "text": "sun"}]),
    ],
)  # fmt: skip
def test_right_answers_are_stored_in_one_form(field: dict[str, Any], given: Any, stored: Any) -> None:
    checked = answer(field, given)
    if field["type"] == "regions":
        assert checked["image"] == IMAGE
        found = checked["regions"]
        assert len(found) == len(stored)
        for region, expected in zip(found, stored, strict=True):
            assert {name: region[name] for name in expected} == expected
    else:
        assert checked == stored


def test_segments_are_sorted_and_keep_what_is_said() -> None:
    given = [
        {"id": "b", "label": "x", "start_ms": 900, "end_ms": 5050, "text": "second"},
        {"id": "a", "label": "x", "start_ms": 0, "end_ms": 900},
    ]
    assert answer(SOUND, given) == [
        {"id": "a", "label": "x", "start_ms": 0, "end_ms": 900, "text": ""},
        {"id": "b", "label": "x", "start_ms": 900, "end_ms": 5000, "text": "second"},
    ]


@pytest.mark.parametrize(
    ("field", "given", "code"),
    [
        (question("choice", choices=["a", "b"], multiple=True), "a", "list_expected"),
        (question("tree", nodes=TREE), [["cat"]], "not_in_tree"),
        (question("tree", nodes=TREE), "animal", "paths_expected"),
        (question("tree", nodes=TREE), [["animal"], ["plant"]], "one_expected"),
        (question("number"), "3", "number_expected"),
        (question("number"), True, "number_expected"),
        (question("number"), float("nan"), "number_expected"),
        (question("number", max=2), 2.5, "too_large"),
        (question("number", min=2), 1, "too_small"),
        (question("number", step=0.5), 0.3, "off_step"),
        (question("rating"), 4.5, "whole_expected"),
        (question("rating"), 6, "too_large"),
        (SPANS, [span(0, 99)], "span_outside"),
        (SPANS, [span(3, 3)], "span_outside"),
        (SPANS, [span(0.0, 3)], "span_outside"),
        (SPANS, [span(0, 3, "Bob")], "span_text_differs"),
        (SPANS, [span(0, 3, label="y")], "not_a_label"),
        (SPANS, [span(0, 3), span(2, 5, id="n")], "spans_overlap"),
        (SPANS, [span(0, 3), span(4, 5)], "same_mark_id"),
        (SPANS, [{"start": 0, "end": 3, "label": "x"}], "mark_without_id"),
        (SPANS, "Ada", "marks_expected"),
        (BOX, regions(image={"w": 50, "h": 25}), "other_image_size"),
        (BOX, {"regions": []}, "image_size_missing"),
        (BOX, regions({"kind": "box", "x": 90, "y": 0, "w": 20, "h": 5}), "region_outside"),
        (BOX, regions({"kind": "box", "x": 0, "y": 0, "w": 0, "h": 5}), "bad_box"),
        (BOX, regions({"kind": "box", "x": 95, "y": 0, "w": 20, "h": 5, "rotation": 5}), "region_outside"),
        (BOX, regions({"kind": "polygon", "points": [[0, 0], [1, 1]]}), "few_points"),
        (BOX, regions({"kind": "polygon", "points": [[0, 0], [1, 1], "x"]}), "bad_point"),
        ({**BOX, "tools": ["box"]}, regions({"kind": "point", "x": 0, "y": 0}), "not_a_tool"),
        (SOUND, [{**MARK, "start_ms": 5, "end_ms": 5}], "bad_segment"),
        (SOUND, [{**MARK, "start_ms": 5, "end_ms": 7.5}], "bad_segment"),
        (SOUND, [{**MARK, "start_ms": 5, "end_ms": 6000}], "after_the_end"),
        (FILM, [{**MARK, "at_ms": -1}], "bad_frame"),
        (RANK, [["A"], ["B"]], "not_ranked"),
        (RANK, [["A"], ["B"], ["A", "C"]], "ranked_twice"),
        (RANK, [["A"], ["B"], ["D"]], "no_such_response"),
        (RANK, ["A", "B", "C"], "places_expected"),
        ({**RANK, "ties": False}, [["A", "B"], ["C"]], "no_ties"),
        (question("pairwise", options=["a", "b"]), "tie", "not_a_choice"),
        (RATE, {"A": {"true": 3}}, "not_rated"),
        (RATE, {name: {"true": 9} for name in "ABC"}, "rating_outside"),
        (RATE, {"A": {"kind": 1}}, "no_such_dimension"),
        (RATE, {"Z": {"true": 1}}, "no_such_response"),
        (question("trace"), [{"index": 3, "verdict": "right"}], "no_such_step"),
        (question("trace"), [{"index": 0, "verdict": "so-so"}], "not_a_choice"),
        (question("trace"), [{"index": 0, "verdict": "right"}] * 2, "judged_twice"),
        (question("dialogue"), [{"role": "robot", "content": "hi"}], "bad_turn"),
        (question("dialogue", roles=["user"]), [{"role": "assistant", "content": "hi"}], "wrong_role"),
        (question("dialogue"), [{"role": "user", "content": " "}], "empty_turn"),
        (question("dialogue"), "hi", "turns_expected"),
        (question("text"), "   ", "answer_required"),
        (SPANS, [], "answer_required"),
    ],
)  # fmt: skip
def test_wrong_answers_are_told(field: dict[str, Any], given: Any, code: str) -> None:
    with pytest.raises(UserError) as caught:
        answer(field, given)
    assert (caught.value.code, caught.value.status) == (f"label.{code}", 422)
    assert "{" not in caught.value.message.replace("{}", "")


def test_relations_lead_from_span_to_span() -> None:
    schema = checked_schema({"fields": [{**SPANS, "name": "names"}, question("relations", spans="names", labels=["knows"])]})
    names = {"q": "names", "type": "spans", "value": [span(0, 3), span(12, 15, id="n")]}
    link = {"from": "m", "to": "n", "label": "knows"}
    checked = checked_value(schema, [names, {"q": "q", "type": "relations", "value": [link, link]}], RECORD)
    assert checked[1]["value"] == [link]
    with pytest.raises(UserError, match="which is no span"):
        checked_value(schema, [names, {"q": "q", "type": "relations", "value": [{**link, "to": "z"}]}], RECORD)


def test_hidden_questions_need_no_answer_and_keep_none() -> None:
    schema = checked_schema(
        {
            "fields": [
                {"name": "ok", "type": "choice", "choices": ["yes", "no"]},
                {"name": "why", "type": "text", "when": {"field": "ok", "is": "no"}},
                {"name": "more", "type": "text", "when": {"field": "why", "is": ["long story"]}},
            ]
        }
    )

    def checked(*given: tuple[str, Any]) -> list[str]:
        return [each["q"] for each in checked_value(schema, [{"q": name, "value": value} for name, value in given], RECORD)]

    assert checked(("ok", "yes"), ("why", "typed before the change")) == ["ok"]
    assert checked(("ok", "no"), ("why", "short")) == ["ok", "why"]
    assert checked(("ok", "no"), ("why", "long story"), ("more", "once …")) == ["ok", "why", "more"]
    with pytest.raises(UserError, match="needs an answer"):
        checked(("ok", "no"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([question("relations", spans="x", labels=["a"])], "no_spans"),
        ([question("text", when={"field": "later", "is": 1})], "bad_condition"),
        ([question("tree", nodes=["a", "a"])], "same_choice"),
        ([question("tree", nodes=[["a"]])], "bad_schema"),
        ([question("pairwise", options=["a", "tie"])], "no_sides"),
        ([question("rating", min=3, max=3)], "bad_range"),
        ([question("rating", labels=["bad", "good"])], "scale_words"),
        ([question("number", min=3, max=1)], "bad_range"),
        ([question("response_rating", dimensions=[{"name": "a"}, {"name": "a"}])], "same_dimension"),
        ([question("spans", labels=[])], "bad_schema"),
        ([question("spans", labels=["a", "a"])], "same_choice"),
        ([question("regions", labels=["a"], tools=["brush"])], "bad_schema"),
        ([question("text", colour="red")], "bad_schema"),
        ([{"name": "q"}], "bad_schema"),
    ],
)
def test_wrong_schemas_are_told(fields: list[Any], code: str) -> None:
    with pytest.raises(UserError) as caught:
        checked_schema({"fields": fields})
    assert (caught.value.code, caught.value.status) == (f"label.{code}", 422)


def test_deep_trees_are_refused() -> None:
    node: dict[str, Any] = {"value": "leaf"}
    for _ in range(20):
        node = {"value": "inner", "children": [node]}
    with pytest.raises(UserError, match="deeper"):
        checked_schema({"fields": [question("tree", nodes=[node])]})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_right_schemas(name: str) -> None:
    schema = checked_schema({"fields": READY_MADE[name].build(Wanted(["a", "b"]))})
    assert checked_schema(schema) == schema


def test_labels_are_counted_in_every_type() -> None:
    value = [
        {"q": "a", "type": "choice", "value": ["x", "y"]},
        {"q": "b", "type": "spans", "value": [{"label": "p"}, {"label": "p"}]},
        {"q": "c", "type": "regions", "value": {"regions": [{"label": "o"}]}},
        {"q": "d", "type": "tree", "value": [["animal", "cat"]]},
        {"q": "e", "type": "text", "value": "free"},
        {"q": "f", "type": "rating", "value": 4},
    ]
    assert dict(labels_of(value)) == {
        ("a", "x"): 1, ("a", "y"): 1, ("b", "p"): 2, ("c", "o"): 1, ("d", "animal / cat"): 1, ("f", "4"): 1,
    }  # fmt: skip


def test_answers_are_told_in_short() -> None:
    value = [
        {"q": "b", "type": "spans", "value": [{"label": "p"}, {"label": "p"}]},
        {"q": "e", "type": "text", "value": "free"},
        {"q": "r", "type": "ranking", "value": [["A"], ["B", "C"]]},
        {"q": "g", "type": "response_rating", "value": {"A": {"true": 4}}},
        {"q": "d", "type": "dialogue", "value": [{"role": "user", "content": "hi"}]},
        {"q": "s", "type": "segments", "value": [{"label": "x", "text": "said"}]},
    ]
    with translation.override("en"):
        told = in_short(value)
    assert told == {"labels": ["p × 2", "x"], "texts": ["free", "A > B = C", "A: true 4", "1 turn", "said"]}


@pytest.mark.parametrize("name", PRESETS)
def test_every_type_has_a_name(name: str) -> None:
    fields = described_fields(checked_schema({"fields": READY_MADE[name].build(Wanted(["a", "b"]))}))
    assert all(str(field["type_name"]) for field in fields)

"""The quick assistant: learns choices, marks and corrections from few labels (S6.9, S6.10)."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from workers.prelabel.classes import Classifier
from workers.prelabel.correcting import Corrector
from workers.prelabel.learning import assist
from workers.prelabel.marking import Marker
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.prelabel import AssistSpec, is_quick
from workers.spec.run import FileInput, RunFile

LABEL: dict[str, Any] = {"name": "label", "type": "choice", "choices": [{"value": "refund"}, {"value": "delivery"}]}
TAGS: dict[str, Any] = {**LABEL, "name": "tags", "multiple": True}
TREE: dict[str, Any] = {"name": "tree", "type": "tree", "nodes": []}


def words(number: int) -> tuple[str, str]:
    if number % 2:
        return f"I want my money back for order {number}", "refund"
    return f"When does parcel {number} arrive?", "delivery"


def lines(count: int, fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        text, label = words(number)
        known = {"label": label, "tags": [label], "tree": [["shop", label]]}
        answers = {field["name"]: known[field["name"]] for field in fields}
        made.append({"task": number, "data": {"text": text}, "answers": answers})
    return made


def run(
    folder: Path, labelled: list[dict[str, Any]], tasks: list[dict[str, Any]], fields: list[dict[str, Any]]
) -> dict[str, Any]:
    for name, content in (("labelled", labelled), ("tasks", tasks)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content))
    inputs = {name: FileInput(name=f"{name}.jsonl", path=folder / f"{name}.jsonl") for name in ("labelled", "tasks")}
    spec = AssistSpec(project=1, version="assistant", fields=fields)
    output = folder / "output"
    output.mkdir(exist_ok=True)
    file = RunFile(job=1, kind="assist", run_dir=folder, output_dir=output, spec=spec.model_dump(), inputs=inputs)
    program = Program(file)
    with closing(program.events._file):
        return dict(assist(program))


@pytest.mark.parametrize("field", [LABEL, TAGS, TREE])
def test_assistant_proposes_what_it_learnt_and_says_how_often_it_is_right(tmp_path: Path, field: dict[str, Any]) -> None:
    labelled = lines(20, [field])
    open_tasks = [{"task": 100 + number, "data": {"text": words(number)[0]}} for number in range(40, 44)]
    result = run(tmp_path, labelled, open_tasks, [field])
    assert (result["labels"], result["asked"], result["answered"], result["held_out"]) == (20, 4, 4, 20)
    assert result["accuracy"] == 1.0
    found = [json.loads(line) for line in (tmp_path / "output" / "predictions.jsonl").read_text().splitlines()]
    wanted = [line["answers"][field["name"]] for line in lines(44, [field])[40:]]
    assert [line["value"][0]["value"] for line in found] == wanted
    assert all(0.5 < line["score"] <= 1 for line in found)


def test_what_is_unlike_anything_seen_is_unsure() -> None:
    classifier = Classifier()
    classifier.learn([words(number)[0] for number in range(20)], [words(number)[1] for number in range(20)])
    (_, known), (_, strange) = classifier.propose(["I want my money back for order 3", "今天天气真好"])
    assert known > strange


def test_one_label_is_too_few_to_be_sure_of() -> None:
    classifier = Classifier()
    classifier.learn(["a", "b"], ["only", "only"])
    assert classifier.propose(["c"]) == [("only", 0.5)]


def test_marks_are_found_beside_other_words_and_in_chinese() -> None:
    marker = Marker()
    names = ["Ada", "Grace", "Alan", "Linus", "Ken", "Dennis", "Barbara", "Edsger"]
    texts = [f"Dear {name}, your parcel is here" for name in names] + ["我住在北京市", "他住在北京市"]
    values: list[list[dict[str, Any]]] = [[{"start": 5, "end": 5 + len(n), "label": "person", "text": n}] for n in names]
    values += [[{"start": 3, "end": 6, "label": "place", "text": "北京市"}]] * 2
    marker.learn(texts, values)
    (spans, score), (chinese, _), (nothing, _) = marker.propose(["Dear Margaret, your parcel is here", "她住在北京市", ""])
    assert [(span["text"], span["label"]) for span in spans] == [("Margaret", "person")]
    assert [(span["start"], span["end"], span["label"]) for span in chinese] == [(3, 6, "place")]
    assert nothing == []
    assert 0 < score < 1


def test_corrections_are_repeated_and_slips_of_frequent_words_are_mended() -> None:
    corpus = ["please transfer the money today"] * 20 + ["please tranfser the money"]
    corrector = Corrector(corpus)
    corrector.learn(["plz transfre the money", "plz wait"], ["please transfer the money", "please wait"])
    (mended, score), (same, sure) = corrector.propose(["plz tranfser the mony", "transfer the money"])
    assert mended == "please transfer the money"
    assert same == "transfer the money"
    assert score < sure


def test_corrector_leaves_texts_alone_where_people_did() -> None:
    corrector = Corrector(["transfer"] * 20)
    corrector.learn(["tranfser me", "one tranfser"], ["tranfser me", "one tranfser"])
    assert corrector.propose(["a transfre"])[0][0] == "a transfre"


def test_too_few_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too few labels"):
        run(tmp_path, lines(1, [LABEL]), [], [LABEL])


@pytest.mark.parametrize(
    ("field", "quick"),
    [
        (LABEL, True),
        ({"type": "spans"}, True),
        ({"type": "spans", "overlap": True}, False),
        ({"type": "spans", "source": "messages.0.content"}, False),
        ({"type": "text", "source": "text"}, True),
        ({"type": "text"}, False),
        ({"type": "regions"}, False),
    ],
)
def test_questions_that_can_be_learnt(field: dict[str, Any], quick: bool) -> None:
    assert is_quick(field) is quick

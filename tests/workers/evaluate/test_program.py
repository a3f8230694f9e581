"""S9.3, S9.5: the job `evaluate` on a real tiny model: scores, samples, examples, kills and refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.workers.evaluate.conftest import LEARNT, RECORDS, conversation, write_run
from workers.data.templates import load_template
from workers.evaluate.program import evaluate
from workers.evaluate.statistics import wilson
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Message, Record
from workers.spec.run import RunFile

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "workers.evaluate"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(path: Path, refused: bool = False) -> dict[str, Any]:
    """The result of an evaluation in this process, or the error that a refused one tells."""
    program = Program(RunFile.model_validate_json(path.read_text()))
    with closing(program.events._file):
        if not refused:
            return dict(evaluate(program))
        with pytest.raises(UserError) as caught:
            evaluate(program)
        return caught.value.payload()


def as_program(path: Path) -> dict[str, Any]:
    """The result of an evaluation in a process of its own, with no other's threads and settings."""
    assert subprocess.run([*COMMAND, str(path)], cwd=ROOT, check=False, env=ENVIRONMENT).returncode == 0
    result: dict[str, Any] = json.loads((path.parent / "run" / "result.json").read_text())
    return result


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]


def samples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "samples.jsonl").read_text().splitlines()]


def test_labels_are_chosen_by_likelihood(model_folder: Path, tmp_path: Path) -> None:
    """Every label of the dataset is a choice; the interval is Wilson's; each sample shows prompt, scores and choice."""
    wrong = RECORDS[3].model_copy(update={"id": "wrong", "label": "card"})
    path = write_run(
        tmp_path, [*RECORDS, wrong, Record(id="x", text="no label")], {"method": "multiple_choice"}, {"path": str(model_folder)}
    )
    result = run(path)
    assert (result["n"], result["correct"], result["dropped"]) == (9, 8, {"no_label": 1})
    assert result["score"] == pytest.approx(8 / 9)
    assert result["interval"] == pytest.approx(list(wilson(8, 9)))
    assert result["inferencer"] == "log-likelihood (tree)"
    assert result["template_hash"] == load_template(model_folder).hash
    assert result["by_label"]["card"]["n"] == 2
    assert result["by_label"]["card"]["correct"] == 1
    assert result["by_label"]["weather"]["predicted"] == 3
    first = samples(tmp_path)[0]
    assert first["prompt"] == "<|im_start|>user\nWhere is my card?<|im_end|>\n<|im_start|>assistant\n"
    assert first["turns"] == [{"role": "user", "content": "Where is my card?"}]
    assert first["choices"] == sorted({label for _, label in LEARNT})
    assert first["output"] == first["reference"] == "card_arrival"
    assert [sample["record_id"] for sample in samples(tmp_path)] == [*(record.id for record in RECORDS), "wrong"]
    accuracy = [event["values"]["accuracy"] for event in events(tmp_path) if event["type"] == "metric"]
    assert accuracy[-1] == pytest.approx(8 / 9)


def test_answers_are_generated_and_compared(model_folder: Path, tmp_path: Path) -> None:
    records = [
        *(Record(id=f"g{index}", messages=conversation(text, f" {label}\n")) for index, (text, label) in enumerate(LEARNT)),
        Record(id="case", messages=conversation(LEARNT[0][0], "CARD_ARRIVAL")),
        Record(id="open", messages=[Message(role="user", content="?")]),
    ]
    config = {"method": "generation", "max_new_tokens": 16}
    result = run(write_run(tmp_path / "a", records, config, {"path": str(model_folder)}))
    assert (result["n"], result["correct"], result["dropped"]) == (9, 8, {"no_reference": 1})
    assert result["unfinished"] == 0
    assert result["output_tokens"] > 0
    relaxed = run(write_run(tmp_path / "b", records, {**config, "ignore_case": True}, {"path": str(model_folder)}))
    assert relaxed["correct"] == 9
    part = [Record(id="p", messages=conversation(LEARNT[0][0], "arrival"))]
    assert run(write_run(tmp_path / "c", part, {**config, "metric": "contains"}, {"path": str(model_folder)}))["score"] == 1.0
    short = run(write_run(tmp_path / "d", part, {**config, "max_new_tokens": 1}, {"path": str(model_folder)}))
    assert (short["score"], short["unfinished"]) == (0.0, 1)


def test_examples_come_from_other_records_by_seed(model_folder: Path, tmp_path: Path) -> None:
    config = {"method": "multiple_choice", "shots": 2, "limit": 4, "instruction": "Name it.", "system_prompt": "Be brief."}
    result = run(write_run(tmp_path / "a", RECORDS, config, {"path": str(model_folder)}, seed=3))
    assert len(result["examples"]) == 2
    assert result["n"] == 4
    shown = samples(tmp_path / "a")
    assert not {sample["record_id"] for sample in shown} & set(result["examples"])
    prompt = shown[0]["prompt"]
    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName it.\n")
    assert prompt.count("<|im_start|>assistant") == 3
    again = run(write_run(tmp_path / "b", RECORDS, config, {"path": str(model_folder)}, seed=3))
    assert again["examples"] == result["examples"]
    assert samples(tmp_path / "b") == shown


def test_base_model_is_asked_in_plain_text(model_folder: Path, tmp_path: Path) -> None:
    config = {"method": "multiple_choice", "chat": False}
    run(write_run(tmp_path, RECORDS, config, {"path": str(model_folder)}))
    assert samples(tmp_path)[0]["prompt"] == "Q: Where is my card?\nA:"
    run(write_run(tmp_path / "g", RECORDS, {"method": "generation", "chat": False}, {"path": str(model_folder)}))


@pytest.mark.parametrize("method", ["multiple_choice", "generation"])
def test_killed_run_goes_on_to_the_same_score(method: str, model_folder: Path, tmp_path: Path) -> None:
    """S9.5: kill -9 in the middle changes no sample and asks no finished batch again."""
    records = [
        Record(id=f"{index}-{copy}", text=f"{text} {copy}", label=label)
        for copy in range(60)
        for index, (text, label) in enumerate(LEARNT)
    ]
    config = {"method": method, "max_new_tokens": 24}
    calm = as_program(write_run(tmp_path / "calm", records, config, {"path": str(model_folder)}, batch_tokens=256))
    path = write_run(tmp_path / "killed", records, config, {"path": str(model_folder)}, batch_tokens=256)
    kept = tmp_path / "killed" / "run" / "checkpoints" / "samples.jsonl"
    process = subprocess.Popen([*COMMAND, str(path)], cwd=ROOT, env=ENVIRONMENT)
    while not kept.exists() or kept.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = kept.read_bytes()
    assert before.count(b"\n") < len(records)
    kept.write_bytes(before + b'{"torn')
    resumed = as_program(path)
    assert samples(tmp_path / "killed") == samples(tmp_path / "calm")
    for name in ("score", "interval", "by_label", "n", "prompt_tokens", "output_tokens"):
        assert resumed[name] == calm[name]
    assert kept.read_bytes().startswith(before[: before.rfind(b"\n") + 1])


def test_stopped_run_can_be_resumed_and_changed_data_starts_anew(model_folder: Path, tmp_path: Path) -> None:
    path = write_run(tmp_path, RECORDS, {"method": "multiple_choice"}, {"path": str(model_folder)})
    run(path)
    lines = (tmp_path / "run" / "checkpoints" / "samples.jsonl").read_bytes()
    run(path)
    assert (tmp_path / "run" / "checkpoints" / "samples.jsonl").read_bytes() == lines
    changed = [record.model_copy(update={"text": f"{record.text}!"}) for record in RECORDS]
    run(write_run(tmp_path, changed, {"method": "multiple_choice"}, {"path": str(model_folder)}))
    assert all(sample["prompt"].count("!") == 1 for sample in samples(tmp_path))


def test_dataset_that_the_method_cannot_use_is_refused_naming_the_field(model_folder: Path, tmp_path: Path) -> None:
    path = write_run(
        tmp_path / "a", [Record(id="1", text="only text")], {"method": "multiple_choice"}, {"path": str(model_folder)}
    )
    error = run(path, refused=True)
    assert error["code"] == "evaluation.unusable_dataset"
    assert "label" in error["message"]
    assert "text" in error["message"]
    path = write_run(tmp_path / "b", RECORDS[:2], {"method": "multiple_choice", "shots": 5}, {"path": str(model_folder)})
    assert run(path, refused=True)["code"] == "evaluation.too_few_records"
    path = write_run(tmp_path / "c", RECORDS, {"method": "generation", "max_new_tokens": 4000}, {"path": str(model_folder)})
    assert run(path, refused=True)["code"] == "evaluation.answers_too_long"
    assert run(write_run(tmp_path / "d", RECORDS, {"method": "generation"}, {"path": str(tmp_path / "gone")}), refused=True)


def test_too_long_prompts_are_cut_and_told(model_folder: Path, tmp_path: Path) -> None:
    records = [*RECORDS, Record(id="long", text="word " * 400 + "Where is my card?", label="card_arrival")]
    result = run(write_run(tmp_path, records, {"method": "multiple_choice"}, {"path": str(model_folder)}))
    assert result["truncated"] == 1
    assert samples(tmp_path)[-1]["truncated"] is True

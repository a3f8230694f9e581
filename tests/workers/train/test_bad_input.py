"""Bad input (issue 4): each case ends the real program with one clear sentence, and what was good before it is kept.

The eighth, a licence that is not allowed, is refused before there is a run: `tests/hostile/test_training.py`.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.train import tiny
from tests.workers.train.test_data_path import MARKED, copy_of
from workers.program import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, Program, main
from workers.train import checkpoint
from workers.train.__main__ import train
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.tokenizer import learn, write_folder

Maker = Callable[..., tiny.Run]
SETTINGS: dict[str, Any] = {"method": "full", "epochs": 2, "optimisation": {"tokens_per_step": 256}, "saving": {"every_steps": 2}}


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """The program changes the process that it has for itself; here it is the tests'."""
    environment, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    yield
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGTERM, handler)


def ended(run: tiny.Run) -> int:
    """Run as `python -m workers.train` does, up to its exit code."""
    programs: list[Program] = []

    def body(program: Program) -> Any:
        programs.append(program)
        return train(program)

    try:
        with pytest.raises(SystemExit) as found:
            main(body, [str(run.file())])
    finally:
        for program in programs:
            program.events._file.close()
    return int(found.value.code or 0)


def sentence_of(run: tiny.Run, code: str, ending: int = EXIT_BAD_INPUT) -> str:
    """The one thing that is told, and it is one sentence."""
    assert ended(run) == ending
    [error] = run.events("error")
    assert error["code"] == code
    assert error["template"].endswith(".")
    assert "\n" not in error["template"]
    assert error["message"] == error["template"].format(**error["params"])
    return str(error["message"])


def test_a_dataset_lacks_a_column(sft: Maker) -> None:
    told = sentence_of(sft(rows=tiny.passages(3), **SETTINGS), "sft.missing_field")
    assert "“label”" in told
    assert '"id":"0"' in told


def test_turns_are_out_of_order(sft: Maker, base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "strict")
    insists = "{%- if messages[0].role != 'user' -%}{{- raise_exception('A conversation begins with the user') -}}{%- endif -%}"
    (folder / "chat_template.jinja").write_text(insists + MARKED, encoding="utf-8")
    rows = [{**row, "messages": row["messages"][::-1]} for row in tiny.conversations(3)]
    told = sentence_of(sft(rows=rows, model=tiny.model(folder), **SETTINGS), "sft.nothing_supervised")
    assert "A conversation begins with the user" in told


def test_answers_are_empty(sft: Maker) -> None:
    rows = tiny.conversations(3)
    for row in rows:
        row["messages"][1]["content"] = "  "
    assert "an answer that is not empty" in sentence_of(sft(rows=rows, **SETTINGS), "sft.missing_field")


def test_a_template_without_marks_hides_the_answers(sft: Maker, base: Path, tmp_path: Path) -> None:
    """Without generation markers answers are found by rendering; where that cannot be done nothing is masked in silence."""
    folder = copy_of(base, tmp_path / "hiding")
    bare = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    hiding = "{{- messages | length -}}" + bare.replace("turn.content", "turn.content[:2]")
    (folder / "chat_template.jinja").write_text(hiding, encoding="utf-8")
    told = sentence_of(sft(model=tiny.model(folder), **SETTINGS), "sft.nothing_supervised")
    assert "cannot be told from the others" in told


def test_the_tokenizer_is_another_models(sft: Maker, base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "mixed")
    texts = [f"{word} {number}" for number, word in enumerate(Path(tiny.__file__).read_text(encoding="utf-8").split())]
    write_folder(folder, learn(texts, vocabulary=900, split_digits=True, special_tokens=["<|im_start|>", "<|im_end|>"]))
    told = sentence_of(sft(model=tiny.model(folder), **SETTINGS), "model.vocabulary_mismatch")
    assert "use the tokenizer of this model" in told


def long_rows(kind: str) -> list[dict[str, Any]]:
    rows = tiny.preferences(4) if kind in {"preference", "reward"} else tiny.conversations(4)
    for row in rows:
        row["messages"][0]["content"] = "very long " * 200
    return rows


@pytest.mark.parametrize("kind", ["sft", "preference", "reward", "grpo"])
def test_every_sequence_is_longer_than_the_context(preference: Maker, kind: str) -> None:
    run = preference(kind, rows=long_rows(kind), kind=kind, **({"max_new_tokens": 4} if kind == "grpo" else {}))
    assert "choose a model with a longer context" in sentence_of(run, "sft.all_too_long")


def test_pieces_of_pretraining_are_longer_than_the_context(pretrain: Maker, base: Path) -> None:
    new = pretrain("new", rows=tiny.passages(20), sequence_length=512)
    assert "at most 128" in sentence_of(new, "pretrain.longer_than_context")
    continued = pretrain("continued", rows=tiny.passages(20), sequence_length=129, architecture=None, base_model=1)
    continued.inputs["base_model"] = tiny.model(base)
    assert "at most 128" in sentence_of(continued, "pretrain.longer_than_context")


def test_the_loss_is_no_number(sft: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Network.learn, []

    def learn(self: Network, *given: Any) -> float:
        calls.append(1)
        return original(self, *given) if len(calls) < 4 else float("nan")

    monkeypatch.setattr(Network, "learn", learn)
    run = sft(**{**SETTINGS, "optimisation": {"tokens_per_step": 256, "micro_batch_tokens": 4096}})
    assert "At step 4" in sentence_of(run, "train.loss_not_finite")
    assert run.events("checkpoint")[-1]["step"] == 3


def test_weights_are_in_a_format_that_could_run_code(sft: Maker, base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "convert them to safetensors" in sentence_of(sft(model=tiny.model(folder), **SETTINGS), "model.pickle_refused")


def test_the_disk_is_full_at_a_checkpoint(sft: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run, original = sft(**SETTINGS), checkpoint.save_tensors

    def full(tensors: Any, path: Path, *more: Any) -> None:
        if "step-000000006" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(tensors, path, *more)

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    assert "The disk is full" in sentence_of(run, "job.disk_full", EXIT_FAILED)
    monkeypatch.setattr(checkpoint, "save_tensors", original)
    assert ended(run.next_attempt()) == EXIT_DONE
    assert [event["step"] for event in run.events("resumed")] == [4]


def test_the_gpu_is_lost(sft: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch raises then, in the middle of a step; with the card back, Retry goes on."""
    run, original = sft(**SETTINGS), Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        if loop.count.step == 5:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(Loop, "step", step)
    assert "The GPU no longer answers" in sentence_of(run, "train.device_lost")
    monkeypatch.setattr(Loop, "step", original)
    assert ended(run.next_attempt()) == EXIT_DONE
    assert [event["step"] for event in run.events("resumed")] == [4]

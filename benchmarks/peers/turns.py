"""How a side takes its turns: it waits for a word on stdin, does one step, and tells on stdout what the step took.

Everything that libraries print goes to stderr. Imported by programs of several environments: standard library only at the top.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


class Turns:
    """The side's end of the line. A step's time runs from the word to go until `done`, so batches are made within it."""

    def __init__(self) -> None:
        self._line = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._begun = (0.0, 0.0)

    def say(self, **facts: Any) -> None:
        self._line.write(json.dumps(facts) + "\n")
        self._line.flush()

    def wait(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit(1)
        self._begun = (time.perf_counter(), time.process_time())

    def done(self, **facts: Any) -> None:
        seconds, processor = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        self.say(seconds=seconds, processor=processor, **facts)


def task() -> dict[str, Any]:
    """What this side is asked to do; see `bench_training_peers.py`."""
    given: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return given


def watched(trainer_class: Any, turns: Turns, steps: int) -> Any:
    """A callback that lets a transformers Trainer of this class take turns; counts the tokens that are no padding."""
    from transformers import TrainerCallback

    seen: dict[str, Any] = {}
    original = trainer_class.training_step

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        seen.update(processed=inputs["input_ids"].numel(), tokens=_real(inputs), learnt=int((inputs["labels"] != -100).sum()))
        loss = original(self, model, inputs, *more, **named)
        seen["loss"] = float(loss)
        return loss

    trainer_class.training_step = training_step

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **more: Any) -> None:
            turns.say(**facts(more["model"]))
            turns.wait()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            turns.done(**seen)
            if state.global_step < steps:
                turns.wait()

    return Watch()


def facts(model: Any) -> dict[str, Any]:
    """Kinds of numbers in which weights lie, and how many are learnt: proof that all sides do the same."""
    learnt = [item for item in model.parameters() if item.requires_grad]
    frozen = [item for item in model.parameters() if not item.requires_grad]
    return {
        "parameters_learnt": sum(item.numel() for item in learnt),
        "learnt_as": sorted({str(item.dtype) for item in learnt}),
        "frozen_as": sorted({str(item.dtype) for item in frozen}),
    }


def _real(inputs: dict[str, Any]) -> int:
    """Tokens that are no padding. Packed rows come without a mask, or with one that has a row and a column for each token."""
    mask = inputs.get("attention_mask")
    if mask is None:
        return int(inputs["input_ids"].numel())
    if mask.dim() == 4:
        return int((mask.diagonal(dim1=2, dim2=3) == 0).sum())
    return int((mask != 0).sum())

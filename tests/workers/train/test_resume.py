"""A run that was killed or stopped goes on as if nothing had happened: every later loss is the same to the last bit."""

import json
import random
import signal
from collections.abc import Callable

import pytest

from tests.workers.train import tiny
from workers.program import EXIT_DONE, EXIT_STOPPED, Stopped
from workers.spec.errors import UserError
from workers.train.loop import Loop

Maker = Callable[..., tiny.Run]
STEPS = 60
SETTINGS = {"token_budget": STEPS * 256, "optimisation": {"tokens_per_step": 256}}


def result(run: tiny.Run) -> dict:
    return json.loads((run.folder / "result.json").read_text(encoding="utf-8"))


def test_killed_at_any_moment_the_losses_stay_the_same(pretrain: Maker) -> None:
    """Real processes, SIGKILL at random steps while a checkpoint is written after every second one."""
    undisturbed = pretrain("undisturbed", **SETTINGS)
    assert undisturbed.start().wait(120) == EXIT_DONE, (undisturbed.folder / "output.txt").read_text(encoding="utf-8")
    expected = result(undisturbed)
    saving = {"saving": {"every_steps": 2}}
    disturbed = pretrain("disturbed", **SETTINGS, **saving)
    for step in sorted(random.Random(7).sample(range(3, STEPS - 5), 3)):
        child = disturbed.start()
        disturbed.wait_for_step(step, child)
        disturbed.kill(child)
        disturbed.next_attempt()
    child = disturbed.start()
    assert child.wait(120) == EXIT_DONE, (disturbed.folder / "output.txt").read_text(encoding="utf-8")
    assert disturbed.curve("loss") == undisturbed.curve("loss")
    assert disturbed.curve("held_out_loss") == undisturbed.curve("held_out_loss")
    assert result(disturbed)["weights_sha256"] == expected["weights_sha256"]
    assert len(disturbed.events("resumed")) >= 2


@pytest.mark.parametrize("method", ["full", "lora"])
def test_stopped_at_random_steps_the_losses_stay_the_same(sft: Maker, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """LoRA with dropout: the random numbers go on where they were, too."""
    settings = {"method": method, "epochs": 3, "lora": {"dropout": 0.2}, "optimisation": {"tokens_per_step": 256}}
    whole = sft("whole", **settings)
    expected = whole.here()
    stops = iter(random.Random(3).sample(range(2, int(expected["steps"]) - 2), 3))
    original = Loop.step
    broken = sft("broken", **settings)
    while True:
        stop_after = next(stops, None)

        def step(loop: Loop, stop_after: int | None = stop_after) -> None:
            original(loop)
            loop.program.should_stop = stop_after is not None and loop.count.step >= stop_after

        monkeypatch.setattr(Loop, "step", step)
        try:
            found = broken.here()
            break
        except Stopped:
            broken.next_attempt()
    assert broken.attempt == 4
    assert broken.curve("loss") == whole.curve("loss")
    assert found["weights_sha256"] == expected["weights_sha256"]


def test_term_saves_and_ends_with_the_code_for_stopped(pretrain: Maker) -> None:
    run = pretrain(token_budget=3_000_000, optimisation={"tokens_per_step": 256})
    child = run.start()
    run.wait_for_step(5, child)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == EXIT_STOPPED
    assert run.events("stopped")
    assert run.events("checkpoint")[-1]["step"] >= 5


def test_an_attempt_killed_after_all_was_written_returns_its_result(pretrain: Maker) -> None:
    run = pretrain(**SETTINGS)
    first = run.here()
    run.next_attempt()
    assert run.here() == first


def test_a_checkpoint_of_another_spec_is_not_continued(pretrain: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pretrain(**SETTINGS)
    original = Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        loop.program.should_stop = True

    monkeypatch.setattr(Loop, "step", step)
    with pytest.raises(Stopped):
        run.here()
    run.spec["seed"] = 5
    with pytest.raises(UserError, match="other settings or data"):
        run.next_attempt().here()

"""The held-out examples that a model finds hardest, with the loss of every token."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workers.train import tiny

Maker = Callable[..., tiny.Run]


def row(number: int) -> dict[str, Any]:
    """Many conversations, all answered alike but for the number."""
    answer = f"您好,订单{number}今天发货。" if number % 2 else f"Order {number} is here."
    return {"id": str(number), "messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": answer}]}


def test_the_hardest_held_out_examples_are_shown_token_by_token(sft: Maker) -> None:
    run = sft(rows=[row(number) for number in range(60)], held_out_fraction=0.2, epochs=1)
    result = run.here()
    [sample] = run.samples("hardest")
    rows = sample["rows"]
    means = [item["loss"] for item in rows]
    assert len(rows) == 5
    assert means == sorted(means, reverse=True)
    assert means[0] >= result["held_out_loss"] > 0
    for item in rows:
        text = "".join(span["text"] for span in item["spans"])
        assert text.startswith("<|im_start|>user\n")
        assert "�" not in text
        assert any(answer in text for answer in ("今天发货。", " is here."))
        learnt = "".join(span["text"] for span in item["spans"] if span["loss"] is not None)
        assert learnt in text
        assert "<|im_start|>" not in learnt
        assert sum(span["loss"] for span in item["spans"] if span["loss"] is not None) > 0


def test_the_mean_is_over_the_learnt_tokens(sft: Maker) -> None:
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(60)
    ]
    run = sft(rows=rows, held_out_fraction=0.2, epochs=1)
    run.here()
    for item in run.samples("hardest")[0]["rows"]:
        losses = [span["loss"] for span in item["spans"] if span["loss"] is not None]
        assert np.mean(losses) == pytest.approx(item["loss"], abs=2e-3)


def test_nothing_held_out_shows_nothing(sft: Maker) -> None:
    run = sft(held_out_fraction=0.0, epochs=1)
    run.here()
    assert run.samples("hardest") == []

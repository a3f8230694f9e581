"""The fallback engine: batches give what single runs give, whatever joins and leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.engine.test_gguf_export import merge_by_hand, write_adapter
from tests.workers.engine.tiny import greedy, load_reference, token_logprobs, write_model
from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import RequestRefused, Sampling
from workers.engine.engines.stepped import SteppedEngine, run_in_thread
from workers.engine.engines.torch_sampling import draw
from workers.engine.engines.transformers import TransformersStepper


@asynccontextmanager
async def running_engine(checkpoint: Checkpoint, **options: Any) -> AsyncIterator[SteppedEngine]:
    settings: dict[str, Any] = {"context_length": 256, "max_concurrent": 8, "kv_cache_mb": 64, "threads": 1, **options}
    engine = run_in_thread(TransformersStepper(checkpoint, **settings), settings["max_concurrent"])
    yield engine
    await engine.close()


async def collect(engine: SteppedEngine, prompt: list[int], **options: Any) -> list[int]:
    sampling = Sampling(**{"temperature": 0.0, **options})
    return [token async for event in engine.generate(prompt, sampling) for token in event.token_ids]


def prompt_of(length: int) -> list[int]:
    return [(11 * index + length) % 390 + 5 for index in range(length)]


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("llama", {}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
        ("mistral", {"sliding_window": 16}),
        ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    ],
    ids=["llama", "scaled rotary", "sliding window", "gpt2"],
)
async def test_batched_answers_equal_single_ones(tmp_path: Path, family: str, config: dict[str, Any]) -> None:
    """Prompts of unlike lengths come and go at unlike times."""
    folder = write_model(tmp_path / "model", family, dtype=torch.float32, **config)
    reference = load_reference(folder)
    lengths = [(5, 30), (60, 8), (17, 25), (33, 3), (90, 12)]

    async with running_engine(Checkpoint(folder)) as engine:

        async def one(index: int, length: int, count: int) -> list[int]:
            await asyncio.sleep(0.01 * index)
            return await collect(engine, prompt_of(length), max_tokens=count)

        answers = await asyncio.gather(*(one(index, *sizes) for index, sizes in enumerate(lengths)))
    for (length, count), answer in zip(lengths, answers, strict=True):
        assert answer == greedy(reference, prompt_of(length), count)


async def test_more_requests_than_places_all_end(tiny_llama: Path) -> None:
    async with running_engine(Checkpoint(tiny_llama), max_concurrent=2) as engine:
        answers = await asyncio.gather(*(collect(engine, prompt_of(9), max_tokens=6) for _ in range(7)))
        assert engine.metrics().running == 0
    assert answers == [answers[0]] * 7


async def test_leaving_frees_the_row(tiny_llama: Path) -> None:
    async with running_engine(Checkpoint(tiny_llama)) as engine:
        events = engine.generate(prompt_of(9), Sampling(max_tokens=200))
        await anext(events)
        assert engine.metrics().running == 1
        await events.aclose()  # type: ignore[attr-defined]
        assert engine.metrics().running == 0
        await engine.score([5, 6])  # answered after the row was dropped
        assert engine.metrics().kv_cache_bytes == 0


async def test_scores_are_the_model_s(tiny_llama: Path) -> None:
    reference = load_reference(tiny_llama)
    tokens = prompt_of(200)
    async with running_engine(Checkpoint(tiny_llama)) as engine:
        scores = await engine.score(tokens, top=3)
        assert (await engine.score([5])).logprobs == [0.0]
        with pytest.raises(RequestRefused, match="outside the model's vocabulary"):
            await engine.score([5, 100_000])
    assert scores.logprobs[1:] == pytest.approx(token_logprobs(reference, tokens).tolist(), abs=1e-3)
    with torch.no_grad():
        best = reference(torch.tensor([tokens])).logits[0, 41].log_softmax(-1).topk(3)
    assert [token for token, _ in scores.alternatives[42]] == best.indices.tolist()
    assert [logprob for _, logprob in scores.alternatives[42]] == pytest.approx(best.values.tolist(), abs=1e-3)


async def test_adapter_is_merged(tmp_path: Path, tiny_llama: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny_llama)
    reference = load_reference(merge_by_hand(tiny_llama, adapter, tmp_path / "merged", 4.0))
    async with running_engine(Checkpoint(tiny_llama, adapter)) as engine:
        assert await collect(engine, prompt_of(20), max_tokens=12) == greedy(reference, prompt_of(20), 12)


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0])


def frequencies(count: int = 4000, **options: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(1, **options)
    drawn = [draw(LOGITS.clone(), sampling, [1], [0, 0], generator) for _ in range(count)]
    return torch.tensor(drawn).bincount(minlength=5) / count


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, LOGITS.softmax(0)),
        ({"temperature": 0.5}, (LOGITS / 0.5).softmax(0)),
        ({"top_k": 2}, torch.tensor([0.7311, 0.2689, 0, 0, 0])),
        ({"top_p": 0.8}, torch.tensor([0.6285, 0.2312, 0.1402, 0, 0])),
        ({"min_p": 0.3}, torch.tensor([0.7311, 0.2689, 0, 0, 0])),
        ({"presence_penalty": 1.0}, torch.tensor([1.0, 1.0, 0.5, 0.0, -1.0]).softmax(0)),
        ({"frequency_penalty": 1.0}, torch.tensor([0.0, 1.0, 0.5, 0.0, -1.0]).softmax(0)),
        ({"repetition_penalty": 2.0}, torch.tensor([1.0, 0.5, 0.5, 0.0, -1.0]).softmax(0)),
        ({"temperature": 0.0}, torch.tensor([1.0, 0, 0, 0, 0])),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_tokens_are_drawn_as_asked(options: dict[str, Any], wanted: torch.Tensor) -> None:
    assert torch.allclose(frequencies(**options), wanted, atol=0.03)

"""A tokenizer, a base model and datasets that all training tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.train import tiny


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer") / "model")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base") / "model", tokenizer)


@pytest.fixture
def pretrain(tmp_path: Path, tokenizer: Path) -> Callable[..., tiny.Run]:
    """A pre-training run from scratch; keyword arguments go into its spec."""

    def make(name: str = "pretrain", rows: list[dict[str, Any]] | None = None, **spec: Any) -> tiny.Run:
        rows = tiny.passages() if rows is None else rows
        inputs = {"dataset": tiny.dataset(tmp_path / "data.jsonl", rows), "tokenizer": tiny.model(tokenizer)}
        settings = {"name": name, "datasets": [1], "architecture": tiny.TINY, "sequence_length": 64, **spec}
        return tiny.Run(tmp_path / name, "pretrain", settings, inputs)

    return make


@pytest.fixture
def sft(tmp_path: Path, base: Path) -> Callable[..., tiny.Run]:
    """A fine-tuning run; keyword arguments go into its spec."""

    def make(
        name: str = "sft", rows: list[dict[str, Any]] | None = None, model: dict[str, Any] | None = None, **spec: Any
    ) -> tiny.Run:
        rows = tiny.conversations() if rows is None else rows
        inputs = {"dataset": tiny.dataset(tmp_path / f"{name}.jsonl", rows), "base_model": model or tiny.model(base)}
        return tiny.Run(tmp_path / name, "sft", {"name": name, "base_model": 1, "datasets": [1], **spec}, inputs)

    return make


@pytest.fixture
def preference(tmp_path: Path, base: Path) -> Callable[..., tiny.Run]:
    """A run over preferences; `kind` is preference, reward or grpo; keyword arguments go into its spec."""

    def make(name: str = "run", rows: list[dict[str, Any]] | None = None, kind: str = "preference", **spec: Any) -> tiny.Run:
        rows = tiny.preferences() if rows is None else rows
        inputs = {"dataset": tiny.dataset(tmp_path / f"{name}.jsonl", rows), "base_model": tiny.model(base)}
        return tiny.Run(tmp_path / name, kind, {"name": name, "base_model": 1, "datasets": [1], **spec}, inputs)

    return make

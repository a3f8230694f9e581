"""Which module trains which kind of run. A new method is one file with `run(program)` and one line here."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from workers.program import Program
from workers.spec.errors import UserError

METHODS = {
    "tokenizer": "workers.train.tokenizer",
    "pretrain": "workers.train.pretrain",
    "sft": "workers.train.sft",
    "preference": "workers.train.preference",
    "reward": "workers.train.reward",
    "grpo": "workers.train.grpo",
}


def find_method(kind: str) -> Callable[[Program], Mapping[str, Any]]:
    """Modules are imported on demand: a tokenizer run never waits for torch."""
    if kind not in METHODS:
        raise UserError(
            "train.unknown_kind",
            "“{kind}” is no training method; choose one of: {known}.",
            kind=kind,
            known=", ".join(METHODS),
        )
    return import_module(METHODS[kind]).run

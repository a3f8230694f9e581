"""Which module trains which kind of run. A new method is one file with `run(program)` and one line here."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    with _without("scipy"):  # 0.4 s of every start, for transformers' losses of models that find things in pictures
        return import_module(METHODS[kind]).run


@contextmanager
def _without(library: str) -> Iterator[None]:
    """Within this block an installed library cannot be imported, unless it has been already."""
    hidden = library not in sys.modules
    if hidden:
        sys.modules[library] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[library]

"""A workspace with a tiny model and datasets, as the registry's tests make them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache

from tests.webapp.registry.conftest import conversations, intents, run_job, tiny, unlabelled
from webapp.core import catalogues

__all__ = ["conversations", "intents", "run_job", "tiny", "unlabelled"]


@pytest.fixture(autouse=True, scope="session")
def catalogues_are_compiled() -> None:
    """As `make` does: what a catalogue says is what a reader sees."""
    if any(_is_older(path.with_suffix(".mo"), path) for path in catalogues.catalogues()):
        catalogues.compile_all()


def _is_older(compiled: Path, source: Path) -> bool:
    return not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Counters of failed attempts must not reach from one test into another."""
    cache.clear()
    yield
    cache.clear()

"""kill -9 of web, worker, child, engine and redis while a chain runs: no job, label, message or model is lost, and the resumed
training ends with the same losses as an undisturbed one (N4). The benchmark `bench_kills` does the same thirty times."""

from pathlib import Path

import pytest

from tests import chaos
from tests.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(1800)]


def test_nothing_is_lost_when_parts_are_killed_at_random(tmp_path: Path) -> None:
    product = Product(tmp_path / "data").start()
    try:
        chain = chaos.Chain(product, tokens=500_000)
        chain.prepare(tmp_path)
        found = chaos.run(chain, kills=6, seed=3, pause=(1.0, 4.0))
    finally:
        product.stop()
    assert sum(found["kills"].values()) == 6
    assert found["steps"] > 0
    assert found["annotations"] > 0
    assert found["answers"] > 0

"""Intervals and tests against values worked out by hand and against simulation."""

import subprocess
import sys

import numpy as np
import pytest

from workers.evaluate.statistics import binomial_two_sided, mcnemar, mean_interval, paired_difference, wilson


def test_wilson_interval_equals_values_by_hand() -> None:
    """8 of 10: (0.8 + 0.19207 ± 1.95996·√(0.016 + 0.0096036)) / 1.384146."""
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_wilson_interval_covers_the_truth(share: float) -> None:
    generator = np.random.default_rng(1)
    drawn = generator.binomial(100, share, size=4000)
    covered = np.mean([low <= share <= high for low, high in (wilson(int(k), 100) for k in drawn)])
    assert 0.93 <= covered <= 0.98


def test_mcnemar_equals_values_by_hand() -> None:
    """1 against 8 discordant: 2·(1 + 9)/2⁹ = 0.0390625; the agreeing ones do not count."""
    a = [1] * 1 + [0] * 8 + [1] * 20 + [0] * 5
    b = [0] * 1 + [1] * 8 + [1] * 20 + [0] * 5
    assert mcnemar(a, b) == pytest.approx(0.0390625)
    assert mcnemar(b, a) == pytest.approx(0.0390625)
    assert mcnemar([1, 0], [1, 0]) == 1.0
    assert binomial_two_sided(5, 10) == 1.0
    assert binomial_two_sided(400, 1000) == pytest.approx(2.728e-10, rel=1e-3)


def test_paired_difference_finds_the_difference_and_its_interval() -> None:
    generator = np.random.default_rng(3)
    a = generator.random(2000) < 0.5
    b = a | (generator.random(2000) < 0.1)
    found = paired_difference(a, b)
    assert found.difference == pytest.approx(float(b.mean() - a.mean()))
    assert found.low < 0.05 < found.high
    error = np.std(b.astype(float) - a.astype(float)) / np.sqrt(2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert found.p < 0.001


def test_paired_difference_of_equal_scores_is_nothing() -> None:
    same = [0.0, 1.0, 1.0, 0.0]
    found = paired_difference(same, same)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="same questions"):
        paired_difference([1.0], [1.0, 0.0])


@pytest.mark.parametrize("graded", [False, True])
def test_paired_difference_is_wrong_as_seldom_as_it_says(graded: bool) -> None:
    """No difference: about 5 % of intervals miss zero and about 5 % of p-values are below 0.05."""
    generator = np.random.default_rng(5)
    missed = small = 0
    trials = 600
    for trial in range(trials):
        base = generator.random(150)
        a, b = ((base + generator.normal(0, 0.3, 150), base + generator.normal(0, 0.3, 150)) if graded
                else (base < 0.6, np.where(generator.random(150) < 0.3, generator.random(150) < 0.6, base < 0.6)))  # fmt: skip
        found = paired_difference(a, b, resamples=400, seed=trial)
        missed += not found.low <= 0 <= found.high
        small += found.p < 0.05
    assert missed / trials < 0.09
    assert 0.02 < small / trials < 0.09


def test_graded_scores_get_an_interval_of_their_mean() -> None:
    assert mean_interval([0.0, 1.0, 1.0]) == wilson(2, 3)
    low, high = mean_interval([0.2, 0.4, 0.6])
    assert (low + high) / 2 == pytest.approx(0.4)


def test_web_can_import_it_without_the_ml_stack() -> None:
    code = "import sys, workers.evaluate.statistics; print(sorted({'torch', 'transformers', 'httpx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""Leaderboards: shared ranks, and whether a model beats its base."""

from typing import Any

from tests.webapp.evals.conftest import Done, make_model
from webapp.accounts.models import Workspace
from webapp.evals.comparing import compare, pack_scores, shared_ranks, unpack_scores
from webapp.evals.models import Suite
from webapp.evals.queries import leaderboard, matrix


def packed(values: list[int]) -> bytes:
    return pack_scores(dict(enumerate(map(float, values))))


def test_scores_survive_packing_with_gaps() -> None:
    values = unpack_scores(pack_scores({0: 1.0, 3: 0.5}))
    assert values[0] == 1.0
    assert values[3] == 0.5
    assert str(values[1]) == "nan"
    assert unpack_scores(pack_scores({})).size == unpack_scores(b"").size == 0


def test_compare_uses_only_questions_that_both_answered() -> None:
    found = compare(pack_scores({0: 1.0, 1: 0.0, 2: 0.0}), pack_scores({1: 1.0, 2: 1.0, 5: 0.0}))
    assert (found.n, found.only_a, found.only_b, found.difference) == (2, 0, 2, 1.0)
    assert found.verdict == "tie", "two questions prove nothing"


def test_compare_is_the_exact_test() -> None:
    """Ten questions, all gained: p = 2 / 2^10."""
    found = compare(packed([0] * 10), packed([1] * 10))
    assert abs(found.p - 2 / 2**10) < 1e-12
    assert found.verdict == "better"
    assert compare(packed([1] * 10), packed([0] * 10)).verdict == "worse"


def test_models_that_no_test_tells_apart_share_a_rank() -> None:
    best, close, weak = [1] * 38 + [0] * 2, [1] * 37 + [0] * 3, [1] * 10 + [0] * 30
    assert shared_ranks([packed(best), packed(close), packed(weak)]) == [1, 1, 3]


def test_leaderboard_compares_with_the_nearest_base_on_the_board(workspace: Workspace, suite: Suite, done: Done) -> None:
    base = make_model(workspace, "Base")
    middle = make_model(workspace, "Middle", base)
    tuned = make_model(workspace, "Tuned", middle)
    done(base, [0] * 20)
    done(tuned, [0] * 20)
    done(tuned, [1] * 18 + [0] * 2)
    rows = leaderboard(suite)
    assert [(row.rank, row.model.name) for row in rows] == [(1, "Tuned"), (2, "Base")]
    assert rows[0].base == base
    assert rows[0].against_base is not None
    assert rows[0].against_base.verdict == "better"
    assert rows[0].tokens_per_second == 50
    assert rows[1].against_base is None


def test_leaderboard_and_matrix_take_few_queries(
    workspace: Workspace, suite: Suite, done: Done, django_assert_max_num_queries: Any
) -> None:
    base = make_model(workspace, "Base")
    for number in range(12):
        done(make_model(workspace, f"M{number}", base), [number % 2] * 10)
    with django_assert_max_num_queries(4):
        assert len(leaderboard(suite)) == 12
    with django_assert_max_num_queries(1):
        table = matrix(workspace, [suite])
    assert table.lines[0][1][0] is not None
    assert table.lines[0][1][0].score == 1.0

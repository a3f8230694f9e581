import numpy as np

from workers.train.held_out import split
from workers.train.packing import Documents, StepPlan, split_by_tokens


def some_documents(count: int = 97) -> Documents:
    dice = np.random.default_rng(0)
    return Documents.of([(dice.integers(0, 50, dice.integers(2, 40)).tolist(), None) for _ in range(count)])


def test_an_epoch_holds_every_document_once_and_steps_are_about_equal() -> None:
    documents = some_documents()
    plan = StepPlan(documents.lengths, tokens_per_step=200, seed=0)
    for epoch in range(3):
        steps = [plan.units_of(epoch * plan.steps_per_epoch + step) for step in range(plan.steps_per_epoch)]
        assert sorted(np.concatenate(steps).tolist()) == list(range(len(documents)))
        assert all(abs(documents.lengths[step].sum() - 200) <= 60 for step in steps)


def test_what_a_step_learns_depends_on_seed_and_step_only() -> None:
    documents = some_documents()
    forward, jumping = StepPlan(documents.lengths, 200, seed=3), StepPlan(documents.lengths, 200, seed=3)
    expected = [forward.units_of(step).tolist() for step in range(30)]
    assert [jumping.units_of(step).tolist() for step in (29, 4, 17)] == [expected[29], expected[4], expected[17]]
    assert StepPlan(documents.lengths, 200, seed=4).units_of(0).tolist() != expected[0]


def test_a_document_longer_than_a_step_stands_alone() -> None:
    documents = Documents.of([([1] * 500, None), ([2] * 5, None), ([3] * 5, None)])
    plan = StepPlan(documents.lengths, tokens_per_step=64, seed=0)
    assert all(len(plan.units_of(step)) == 1 for step in range(plan.steps_per_epoch))


def test_micro_batches_keep_the_limit_and_lose_nothing() -> None:
    documents = some_documents()
    groups = split_by_tokens(np.arange(len(documents)), documents.lengths, 50)
    assert np.concatenate(groups).tolist() == list(range(len(documents)))
    assert all(documents.lengths[group].sum() <= 50 for group in groups)


def test_few_micro_batches_are_about_equal() -> None:
    lengths = np.array([300, 200, 250, 350, 400, 64])
    groups = split_by_tokens(np.arange(6), lengths, 1500)
    assert [lengths[group].tolist() for group in groups] == [[300, 200, 250], [350, 400, 64]]
    assert [len(group) for group in split_by_tokens(np.arange(3), np.array([900, 10, 20]), 100)] == [1, 2]


def test_equal_documents_are_never_on_both_sides_of_the_held_out_split() -> None:
    rows = [([number, number + 1, number % 7], None) for number in range(40)] * 2
    learnt, held_out = split(Documents.of(rows), 0.2, seed=0)
    assert len(learnt) + len(held_out) == 80
    assert len(held_out) > 0

    def contents(documents: Documents) -> set[bytes]:
        return {documents.select(np.array([index])).tokens.tobytes() for index in range(len(documents))}

    assert not contents(learnt) & contents(held_out)

"""Models, datasets and finished evaluations of the test workspace."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.webapp.registry.conftest import (  # noqa: F401  (fixtures)
    conversations,
    intents,
    make_version,
    run_job,
    tiny,
    unlabelled,
)
from webapp.accounts.models import User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.evals.comparing import pack_scores
from webapp.evals.models import Evaluation, EvaluationState, Sample, Suite
from webapp.evals.services import create_suite
from webapp.registry.models import Model, ModelKind, ModelState
from workers.evaluate.statistics import wilson

Done = Callable[..., Evaluation]


@pytest.fixture
def suite(alice: User, workspace: Workspace, intents: DatasetVersion) -> Suite:  # noqa: F811
    return create_suite(user=alice, slug="academy", version_id=intents.pk, name="Intents test")


def make_model(workspace: Workspace, name: str, base: Model | None = None) -> Model:
    return Model.objects.create(
        workspace=workspace, name=name, family="F", kind=ModelKind.TUNED, state=ModelState.READY, base=base
    )


@pytest.fixture
def done(suite: Suite) -> Done:
    """Makes a finished evaluation from a list of right (1) and wrong (0)."""

    def make(model: Model, right: list[int], **data: Any) -> Evaluation:
        low, high = wilson(sum(right), len(right))
        made = Evaluation.objects.create(
            workspace=suite.workspace,
            suite=suite,
            model=model,
            state=EvaluationState.DONE,
            score=sum(right) / len(right),
            low=low,
            high=high,
            count=len(right),
            correct=sum(right),
            seconds=2.0,
            scores=pack_scores({position: float(value) for position, value in enumerate(right)}),
            summary={"prompt_tokens": 90, "output_tokens": 10, "by_label": {"delivery": {"n": 1, "correct": 1, "predicted": 2}}},
        )
        Sample.objects.bulk_create(
            Sample(
                evaluation=made,
                position=position,
                key=f"q{position}",
                correct=bool(value),
                score=value,
                data={"prompt": f"Question {position}?", "reference": "delivery", "output": f"{model.name} says {value}", **data},
            )
            for position, value in enumerate(right)
        )
        return made

    return make

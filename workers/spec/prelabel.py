"""Spec of pre-labelling: a deployed model proposes answers to the questions of a label project."""

from typing import Any

from pydantic import Field

from workers.spec.base import Spec


class PrelabelSpec(Spec):
    """`fields`: the questions that are asked, in their stored form. `version`: what the predictions are tagged with."""

    project: int
    deployment: int
    version: str = Field(min_length=1, max_length=120)
    fields: list[dict[str, Any]] = Field(min_length=1, max_length=40)
    limit: int = Field(1000, ge=1, le=100_000, description="At most so many open tasks, in their order.")
    reorder: bool = Field(True, description="Afterwards give people the tasks first about which the model is least sure.")
    max_new_tokens: int = Field(400, ge=1, le=4096, description="The longest answer that the model may write.")

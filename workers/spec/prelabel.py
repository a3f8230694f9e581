"""Spec of pre-labelling: a deployed model proposes answers to the questions of a label project."""

from collections.abc import Mapping
from typing import Any, Literal

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
    wording: Literal["asked", "learnt"] = Field(
        "asked", description="learnt: the record's text alone is sent, as a model saw it when it was trained on these labels"
    )
    known: int = Field(0, ge=0, le=100_000, description="Labelled tasks that are asked too, to see how often the model is right.")


QUICK_TYPES = frozenset({"choice", "tree", "rating", "spans", "text"})


def is_quick(field: Mapping[str, Any]) -> bool:
    """Whether the quick assistant can learn a question: marks and corrections must be about the record's own text."""
    if field["type"] == "spans":
        return field.get("source") in {None, "", "text"} and not field.get("overlap")
    if field["type"] == "text":
        return field.get("source") == "text"
    return field["type"] in QUICK_TYPES


class AssistSpec(Spec):
    """The quick assistant: learns from the labels of a project and proposes answers to its open tasks."""

    project: int
    version: str = Field(min_length=1, max_length=120)
    fields: list[dict[str, Any]] = Field(min_length=1, max_length=40)
    limit: int = Field(10_000, ge=1, le=100_000, description="At most so many open tasks, in their order.")
    reorder: bool = Field(True, description="Afterwards give people the tasks first about which the assistant is least sure.")

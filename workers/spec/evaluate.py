"""Spec of one evaluation: one model (or endpoint) on one suite."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec

Method = Literal["multiple_choice", "generation"]
Metric = Literal["exact", "contains", "tool_call"]


class SuiteConfig(Spec):
    """How a dataset version is asked and scored.

    `multiple_choice`: each choice's log-likelihood after the prompt; the highest wins (summed and length-normalised
    scores are both kept, `normalise` says which one counts). For classification records the choices are all labels.
    `generation`: greedy answer, compared with the reference.
    """

    method: Method
    metric: Metric = "exact"
    chat: bool = Field(True, description="render through the model's chat template when it has one")
    system_prompt: str | None = None
    instruction: str | None = None
    shots: int = Field(0, ge=0, le=32)
    normalise: bool = True
    max_new_tokens: int = Field(96, ge=1, le=4096)
    limit: int | None = Field(None, ge=1)
    ignore_case: bool = False


class EvalSpec(Spec):
    suite: int
    evaluation: int
    model: int
    dataset: int
    config: SuiteConfig
    batch_tokens: int = Field(4096, ge=64)
    seed: int = 0

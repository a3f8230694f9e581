"""Spec of the two-second measurement behind the planner's times."""

from pydantic import Field

from workers.spec.base import Spec


class MeasureSpec(Spec):
    seconds: float = Field(2.0, gt=0, le=30, description="how long to measure")

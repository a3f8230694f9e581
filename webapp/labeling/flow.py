"""How a project is worked on: overlap, gold questions, review, who is let in. Checked here, stored in the project's columns."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from webapp.core.errors import UserError
from webapp.labeling.models import LabelProject, OverlapMode

LOCKED = ("overlap", "overlap_mode", "overlap_share")
"""Decided when the tasks are made: how many slots each has."""
MOST_PEOPLE = 50


class Flow(BaseModel):
    """Shares are in percent, agreement and scores from 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    overlap: int = Field(1, ge=1, le=MOST_PEOPLE)
    overlap_mode: OverlapMode = OverlapMode.FIXED
    overlap_share: int = Field(100, ge=1, le=100)
    overlap_most: int = Field(5, ge=2, le=MOST_PEOPLE)
    agreement_target: float | None = Field(None, gt=0, le=1)
    members_only: bool = False
    blind: bool = True
    gold_share: int = Field(0, ge=0, le=50)
    gold_pause_below: float | None = Field(None, gt=0, le=1)
    gold_minimum: int = Field(5, ge=1, le=1000)
    review_share: int = Field(0, ge=0, le=100)

    @model_validator(mode="after")
    def whole(self) -> "Flow":
        """Adaptive overlap starts with two people and needs something to reach."""
        if self.overlap_mode == OverlapMode.ADAPTIVE:
            self.overlap = max(2, self.overlap)
            self.overlap_most = max(self.overlap, self.overlap_most)
            if self.agreement_target is None:
                self.agreement_target = 0.8
        return self

    @classmethod
    def of(cls, project: LabelProject) -> "Flow":
        return cls.model_validate({name: getattr(project, name) for name in cls.model_fields})


def checked_flow(values: dict[str, Any]) -> Flow:
    overlap = values.get("overlap", 1)
    if not isinstance(overlap, int) or not 1 <= overlap <= MOST_PEOPLE:
        raise UserError("label.bad_overlap", "A record can be labelled by 1 to 50 people; choose a number between.", status=422)
    try:
        return Flow.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            "label.bad_flow",
            "The setting “{name}” cannot be {value}; {reason}.",
            status=422,
            name=".".join(str(part) for part in first["loc"]),
            value=str(first["input"])[:60],
            reason=first["msg"],
        ) from error


def changed_flow(project: LabelProject, changes: dict[str, Any]) -> dict[str, Any]:
    """What an update changes; the number of slots stays as the tasks were made."""
    current = Flow.of(project).model_dump()
    for name in LOCKED:
        if name in changes and changes[name] != current[name]:
            raise UserError(
                "label.overlap_is_set",
                "How many people label a record is decided when a project is made; make another project for more.",
                status=409,
            )
    flow = checked_flow({**current, **changes}).model_dump()
    return {name: value for name, value in flow.items() if value != current[name]}

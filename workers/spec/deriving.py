"""Specs of versions that are made from a version: changed records, and parts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from workers.spec.base import Spec
from workers.spec.filters import RecordFilter

CHANGEABLE = ("label", "language", "domain", "licence", "source", "quality", "split")
ChangeField = Literal["label", "language", "domain", "licence", "source", "quality", "split"]


class Change(Spec):
    """What becomes of the records that a filter chooses."""

    action: Literal["delete", "keep", "set"] = Field(description="leave them out, leave out all others, or set a field of them")
    field: ChangeField | None = None
    value: str = Field("", max_length=200, description="empty: take the field away")

    @model_validator(mode="after")
    def has_field(self) -> Self:
        if self.action == "set" and self.field is None:
            raise ValueError("a field must be named")
        if self.field == "quality" and self.value:
            float(self.value)
        return self


class Part(Spec):
    """A part of a split: `share` of the distinct contents, or the records whose facet has this value."""

    name: str = Field(min_length=1, max_length=120)
    share: float | None = Field(None, gt=0, lt=1)
    value: str | None = None


class Split(Spec):
    """Into parts by share (together one), seeded, with the same share of every value of `stratify`; or by `facet`'s values."""

    parts: list[Part] = Field(min_length=2, max_length=8)
    seed: int = 0
    stratify: str = Field("", description="a facet, for example label")
    facet: str = Field("", description="a facet whose values name the parts")


class DeriveSpec(Spec):
    """Make versions from a version, in one pass over its file."""

    datasets: list[int] = Field(min_length=1, max_length=1, description="the version that is read")
    outputs: list[int] = Field(description="version rows being built, in the order of the parts")
    filter: RecordFilter = RecordFilter()
    change: Change | None = None
    split: Split | None = None


class StoreSpec(Spec):
    """Keep records that the web wrote down as a version."""

    datasets: list[int] = Field([], max_length=1, description="the version that they descend from")
    output: int = Field(description="version row being built")
    source: str = Field(max_length=40, description="where the records come from")
    parameters: dict[str, int | str] = Field(default_factory=dict)


def output_files(folder: Path, count: int) -> list[Path]:
    """Where the program writes its versions, in the order of `outputs`."""
    return [folder / f"records-{number}.jsonl" for number in range(count)]

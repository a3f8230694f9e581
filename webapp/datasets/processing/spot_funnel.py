"""Where in the pipeline a spot check stands (S6.4): the records left after each stage, and how good those are that people judged.

What was judged in the version before the pipeline is a random sample of it, so those of the sample that are left after a stage
are a random sample of what is left then: the precision is told stage by stage, each with its interval.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.datasets.models import DatasetVersion, RecordRow, SpotJudgement
from webapp.datasets.processing.intervals import interval
from webapp.datasets.processing.kinds import kept_folder
from webapp.datasets.processing.reports import read_report, was_processed
from webapp.datasets.processing.wording import stage_label

LONGEST_CHAIN = 20
LARGEST_REPORT = 64 << 20
"""Bytes of the dropped records that are searched for the judged ones while somebody waits."""
_BEFORE_ID = b'"record":{"id":'


@dataclass(frozen=True)
class Step:
    """A stage of the funnel. `name` is empty for the records before the first; `precision` is None when none left was judged."""

    name: str
    label: str
    records: int
    dropped: int
    judged: int
    good: int
    precision: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Funnel:
    """`steps`: of the processing that made `made` from `source`, the first before all stages; `here`: the version itself."""

    made: DatasetVersion
    source: DatasetVersion | None
    steps: list[Step]
    here: Step


def processed_ancestor(version: DatasetVersion) -> DatasetVersion | None:
    """The newest version that processing made among this one and those that it comes from."""
    found: DatasetVersion | None = version
    for _ in range(LONGEST_CHAIN):
        if found is None or was_processed(found):
            return found
        found = found.parent
    return None


def spot_funnel(version: DatasetVersion) -> Funnel | None:
    """None for a version that no processing made, and while the report of the processing is not whole."""
    made = processed_ancestor(version)
    report = read_report(made) if made else None
    if made is None or report is None or not report["done"] or not report["stages"]:
        return None
    return Funnel(made, made.parent, _steps(made, report["stages"]), _step("", version.count, 0, _judged(version).values()))


def _steps(made: DatasetVersion, stages: list[dict[str, Any]]) -> list[Step]:
    judged = _judged(made.parent) if made.parent else {}
    gone = _dropped_at(kept_folder(made) / "dropped.jsonl", judged)
    steps = [_step("", stages[0]["entered"], 0, judged.values())]
    for stage in stages:
        judged = {key: good for key, good in judged.items() if gone is not None and gone.get(key) != stage["name"]}
        steps.append(_step(stage["name"], stage["kept"], stage["dropped"], judged.values()))
    return steps


def _step(name: str, records: int, dropped: int, said: Iterable[bool]) -> Step:
    verdicts = list(said)
    good, judged = sum(verdicts), len(verdicts)
    low, high = interval(good, judged)
    return Step(
        name, stage_label(name) if name else "", records, dropped, judged, good, good / judged if judged else None, low, high
    )


def _judged(version: DatasetVersion) -> dict[str, bool]:
    """Record id → what was said of it last, in all spot checks of a version."""
    said = SpotJudgement.objects.filter(spot_check__version=version).order_by("pk")
    verdicts = dict(said.values_list("position", "good"))
    rows = RecordRow.objects.filter(version=version, position__in=list(verdicts)).values_list("position", "data__id")
    return {identifier: verdicts[position] for position, identifier in rows}


def _dropped_at(path: Path, wanted: Iterable[str]) -> dict[str, str] | None:
    """Record id → the stage that dropped it; None when the report is too large to be searched now."""
    left = {json.dumps(key, ensure_ascii=False).encode() for key in wanted}
    if not left or not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_REPORT:
        return None
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for line in file:
            begin = line.find(_BEFORE_ID) + len(_BEFORE_ID)
            key = line[begin : line.find(b'"', begin + 1) + 1]
            if key in left or b"\\" in key:
                dropped = json.loads(line)
                found[dropped["record"]["id"]] = dropped["stage"]
    return found

"""Spot checks (S6.4): people judge random records of a version; the sampled precision is shown with its interval.

Judgements are only added, never changed: saying something else about a record adds a newer judgement.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User
from webapp.core.bodies import clean
from webapp.core.errors import UserError
from webapp.core.events import publish
from webapp.core.paging import Page, paginate
from webapp.datasets import files
from webapp.datasets.access import access_version
from webapp.datasets.media import record_for_page
from webapp.datasets.models import DatasetVersion, SpotCheck, SpotJudgement
from webapp.datasets.processing.intervals import interval
from webapp.datasets.processing.wording import BAD

LARGEST = 5000


@dataclass(frozen=True)
class Standing:
    """How a spot check stands. `low`, `high`: 95 % interval of the precision among all records of the version."""

    size: int
    judged: int
    good: int
    precision: float | None
    low: float
    high: float
    reasons: dict[str, int]


def access_spot_check(user: User, check_id: int, *, role: str = Role.VIEWER) -> SpotCheck:
    return access_owned(user, SpotCheck, check_id, role=role, path="version__dataset__workspace")


def start_spot_check(*, user: User, version_id: int, size: int, seed: int = 0) -> SpotCheck:
    """Draw the records. The same version, seed and size give the same records in the same order."""
    version = access_version(user, version_id, role=Role.MANAGER)
    files.version_path(version)
    if not 1 <= size <= LARGEST:
        raise UserError(
            "spot.bad_size", "A spot check has between 1 and {limit} records; choose a number between.", status=422, limit=LARGEST
        )
    if not 0 <= seed < 2**31:
        raise UserError("spot.bad_seed", "The seed must be a whole number from 0 to 2147483647.", status=422)
    positions = random.Random(f"{version.sha256} {seed}").sample(range(version.count), min(size, version.count))
    return SpotCheck.objects.create(version=version, seed=seed, positions=positions, created_by=user)


def list_spot_checks(*, user: User, version_id: int, cursor: str | None = None, limit: int = 20) -> Page[SpotCheck]:
    version = access_version(user, version_id)
    return paginate(SpotCheck.objects.filter(version=version).select_related("version__dataset"), cursor=cursor, limit=limit)


def judge(*, user: User, check_id: int, position: int, good: bool, reason: str = "", note: str = "") -> SpotJudgement:
    """Add a judgement. A bad record needs a reason, one of `wording.BAD`."""
    check = access_spot_check(user, check_id, role=Role.ANNOTATOR)
    if position not in check.positions:
        raise UserError("spot.not_drawn", "Record {number} is not in this spot check.", status=422, number=position + 1)
    if not good and reason not in BAD:
        raise UserError("spot.no_reason", "A bad record needs a reason, one of {known}.", status=422, known=", ".join(BAD))
    made = SpotJudgement.objects.create(
        spot_check=check,
        position=position,
        good=good,
        reason="" if good else reason,
        note=" ".join(clean(note).split())[:500],
        judged_by=user,
    )
    publish(f"workspace.{check.version.dataset.workspace_id}", spot_check=check.pk)
    return made


def standings(checks: Sequence[SpotCheck]) -> dict[int, Standing]:
    """Of several spot checks with one query. The newest judgement of a record counts."""
    said: dict[int, dict[int, tuple[bool, str]]] = {check.pk: {} for check in checks}
    rows = SpotJudgement.objects.filter(spot_check__in=said).order_by("pk")
    for check_id, position, good, reason in rows.values_list("spot_check_id", "position", "good", "reason"):
        said[check_id][position] = (good, reason)
    return {check.pk: _standing(check, list(said[check.pk].values())) for check in checks}


def standing(check: SpotCheck) -> Standing:
    return standings([check])[check.pk]


def _standing(check: SpotCheck, said: list[tuple[bool, str]]) -> Standing:
    judged, good = len(said), sum(1 for is_good, _reason in said if is_good)
    precision = good / judged if judged else None
    low, high = interval(good, judged)
    if precision is not None and judged == check.version.count:
        low = high = precision  # every record of the version was looked at
    reasons = Counter(reason for is_good, reason in said if not is_good)
    return Standing(check.size, judged, good, precision, low, high, dict(reasons.most_common()))


def next_position(check: SpotCheck, user: User) -> int | None:
    """A record that nobody has judged. Each person has an order of their own, so that two rarely get the same."""
    judged = set(check.judgements.values_list("position", flat=True))
    left = [position for position in check.positions if position not in judged]
    return min(left, key=lambda position: _order(user, position)) if left else None


def _order(user: User, position: int) -> bytes:
    return hashlib.blake2b(f"{user.pk} {position}".encode(), digest_size=8).digest()


def last_position(check: SpotCheck, user: User) -> int | None:
    """What the person judged last, to look at it again."""
    return check.judgements.filter(judged_by=user).order_by("-pk").values_list("position", flat=True).first()


def list_judgements(*, user: User, check_id: int, cursor: str | None = None, limit: int = 50) -> Page[SpotJudgement]:
    """The history, newest first."""
    check = access_spot_check(user, check_id)
    return paginate(check.judgements.select_related("judged_by"), cursor=cursor, limit=limit)


def record_of(version: DatasetVersion, position: int) -> dict[str, Any]:
    """The record at a position, its media with addresses that a page may show."""
    return record_for_page(version, version.records.get(position=position).data)

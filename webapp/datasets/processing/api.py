"""The API of processing and spot checks, below /api/v1/."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import HttpResponseBase
from ninja import Router, Schema, Status
from pydantic import Field

from webapp.datasets.access import access_version
from webapp.datasets.models import SpotCheck, SpotJudgement
from webapp.datasets.processing import reports, services, spot_checks
from webapp.datasets.processing.forms import suggested
from webapp.datasets.processing.spot_funnel import spot_funnel
from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import In, VersionOut
from workers.spec.processing import Stages

router = Router()


class SpotCheckIn(In):
    size: int = 100
    seed: int = 0


class SpotCheckOut(Schema):
    """`precision` of what was judged so far, with the 95 % interval from `low` to `high`."""

    id: int
    version: int
    seed: int
    size: int
    judged: int
    good: int
    precision: float | None
    low: float
    high: float
    reasons: dict[str, int] = Field(description="why records were called bad, with counts")
    created_at: datetime

    @classmethod
    def of(cls, check: SpotCheck, standing: spot_checks.Standing) -> "SpotCheckOut":
        return cls(id=check.pk, version=check.version_id, seed=check.seed, created_at=check.created_at, **vars(standing))


class JudgementIn(In):
    position: int
    good: bool
    reason: str = Field("", description="of a bad record: broken, wrong, poor, duplicate, unsafe, personal or other")
    note: str = ""


class JudgementOut(Schema):
    id: int
    position: int
    good: bool
    reason: str
    note: str
    judged_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, said: SpotJudgement) -> "JudgementOut":
        names = ("position", "good", "reason", "note", "created_at")
        author = said.judged_by.get_username() if said.judged_by else None
        return cls(id=said.pk, judged_by=author, **{name: getattr(said, name) for name in names})


class SpotCheckList(Schema):
    items: list[SpotCheckOut]
    next_cursor: str | None


class JudgementList(Schema):
    items: list[JudgementOut]
    next_cursor: str | None


class NextOut(Schema):
    """The next record to judge; both are null when all are judged."""

    position: int | None
    record: dict[str, Any] | None


@router.get("/versions/{version_id}/process", response=Stages)
def suggest(request: MemberRequest, version_id: int) -> Stages:
    """The stages that are suggested for what the version is made of, to change and send back."""
    version = access_version(request.user, version_id)
    return suggested(version, services.comparable_versions(version)[1])


@router.post("/versions/{version_id}/process", response={201: VersionOut})
def process(request: MemberRequest, version_id: int, payload: Stages) -> Status[VersionOut]:
    """Start the job that makes the next version through these stages; those left out have their defaults."""
    made = services.process_version(
        user=request.user, version_id=version_id, stages=payload, idempotency_key=request.headers.get("Idempotency-Key")
    )
    return Status(201, VersionOut.of(made))


@router.post("/versions/{version_id}/process/preview")
def preview(request: MemberRequest, version_id: int, payload: Stages) -> dict[str, Any]:
    """What the stages would drop and change among 500 random records; nothing is stored."""
    return services.preview(user=request.user, version_id=version_id, stages=payload)


@router.get("/versions/{version_id}/processing")
def report(request: MemberRequest, version_id: int) -> dict[str, Any]:
    """Of a processed version: counts, reasons, examples, groups of duplicates, stage by stage. `done`: all stages are in it."""
    return reports.read_report(access_version(request.user, version_id))


@router.get("/versions/{version_id}/processing/dropped")
def dropped(request: MemberRequest, version_id: int, stage: str = "") -> HttpResponseBase:
    """What was dropped, as JSON lines {stage, reason, detail, record}; of one stage, or of all."""
    return reports.download_dropped(request, access_version(request.user, version_id), stage)


@router.post("/versions/{version_id}/spot-checks", response={201: SpotCheckOut})
def start_spot_check(request: MemberRequest, version_id: int, payload: SpotCheckIn) -> Status[SpotCheckOut]:
    """Draw random records to judge; the same seed draws the same ones."""
    check = spot_checks.start_spot_check(user=request.user, version_id=version_id, size=payload.size, seed=payload.seed)
    return Status(201, SpotCheckOut.of(check, spot_checks.standing(check)))


@router.get("/versions/{version_id}/spot-checks", response=SpotCheckList)
def list_spot_checks(request: MemberRequest, version_id: int, cursor: str | None = None, limit: int = 20) -> dict[str, Any]:
    page = spot_checks.list_spot_checks(user=request.user, version_id=version_id, cursor=cursor, limit=limit)
    standings = spot_checks.standings(page.items)
    return {"items": [SpotCheckOut.of(check, standings[check.pk]) for check in page.items], "next_cursor": page.next_cursor}


@router.get("/versions/{version_id}/spot-checks/funnel")
def get_spot_funnel(request: MemberRequest, version_id: int) -> dict[str, Any]:
    """Where in the pipeline a version stands: records left after each stage, and the sampled precision of those left."""
    funnel = spot_funnel(access_version(request.user, version_id))
    if funnel is None:
        return {"processed_version": None, "source_version": None, "steps": [], "here": None}
    return {
        "processed_version": funnel.made.pk,
        "source_version": funnel.source.pk if funnel.source else None,
        "steps": [asdict(step) for step in funnel.steps],
        "here": asdict(funnel.here),
    }


@router.get("/spot-checks/{check_id}", response=SpotCheckOut)
def get_spot_check(request: MemberRequest, check_id: int) -> SpotCheckOut:
    check = spot_checks.access_spot_check(request.user, check_id)
    return SpotCheckOut.of(check, spot_checks.standing(check))


@router.get("/spot-checks/{check_id}/next", response=NextOut)
def next_record(request: MemberRequest, check_id: int) -> dict[str, Any]:
    check = spot_checks.access_spot_check(request.user, check_id)
    position = spot_checks.next_position(check, request.user)
    record = None if position is None else spot_checks.record_of(check.version, position)
    return {"position": position, "record": record}


@router.post("/spot-checks/{check_id}/judgements", response={201: SpotCheckOut})
def judge(request: MemberRequest, check_id: int, payload: JudgementIn) -> Status[SpotCheckOut]:
    """Add a judgement; the answer is how the spot check stands then."""
    said = spot_checks.judge(user=request.user, check_id=check_id, **payload.model_dump())
    return Status(201, SpotCheckOut.of(said.spot_check, spot_checks.standing(said.spot_check)))


@router.get("/spot-checks/{check_id}/judgements", response=JudgementList)
def list_judgements(request: MemberRequest, check_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    """All that was ever said, newest first."""
    page = spot_checks.list_judgements(user=request.user, check_id=check_id, cursor=cursor, limit=limit)
    return {"items": [JudgementOut.of(said) for said in page.items], "next_cursor": page.next_cursor}

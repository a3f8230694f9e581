"""The API of processing and spot checks, below /api/v1/."""

from typing import Any

from django.http import HttpResponseBase
from ninja import Router, Status

from webapp.datasets.access import access_version
from webapp.datasets.processing import reports, services
from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import VersionOut
from workers.spec.processing import Stages

router = Router()


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

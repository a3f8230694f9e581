"""Start the processing of a version, and try it on a few of its records beforehand."""

import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from webapp.accounts.models import Role, User
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets import files
from webapp.datasets.access import access_version
from webapp.datasets.models import DatasetVersion, RecordRow, VersionMedia, VersionState
from webapp.datasets.processing import kinds
from webapp.jobs.services import submit_job
from workers.data.records import record_line
from workers.spec.processing import ProcessDatasetSpec, Stages
from workers.supervise import environment

logger = logging.getLogger(__name__)
PREVIEWED = 500
PREVIEW_SECONDS = 40
OFFERED = 100


def process_version(*, user: User, version_id: int, stages: Stages, idempotency_key: str | None = None) -> DatasetVersion:
    """Queue the job that makes the next version of the same dataset; the source stays as it is."""
    version = access_version(user, version_id, role=Role.MANAGER)
    files.version_path(version)
    stages = checked(version, stages)
    spec = ProcessDatasetSpec(datasets=[version.pk, *stages.decontamination.against], stages=stages)
    with transaction.atomic():
        job = submit_job(
            user=user,
            workspace=version.dataset.workspace,
            kind=kinds.KIND,
            spec=spec,
            name=f"{version.dataset.name} ← {version}",
            idempotency_key=idempotency_key,
        )
        made = kinds.version_of(job)
        return made or kinds.next_version(version, spec, job=job, created_by=user)


def checked(version: DatasetVersion, stages: Stages) -> Stages:
    """The stages without what does nothing. Raises UserError where none is left or an evaluation set is not there."""
    decontamination = stages.decontamination
    against = list(dict.fromkeys(decontamination.against)) if decontamination.on else []
    if against:
        workspace = version.dataset.workspace_id
        ready = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY)
        found = set(ready.filter(pk__in=against).exclude(pk=version.pk).values_list("pk", flat=True))
        missing = [number for number in against if number not in found]
        if missing:
            raise UserError(
                "processing.no_such_set",
                "The evaluation set {id} is not a ready dataset version of this workspace, or is the one being processed; "
                "choose another.",
                status=422,
                id=missing[0],
            )
    on = decontamination.on and bool(against)
    changed = decontamination.model_copy(update={"on": on, "against": against})
    stages = stages.model_copy(update={"decontamination": changed})
    if not stages.active():
        raise UserError("processing.no_stage", "No stage is switched on, so nothing would change; switch one on.", status=422)
    return stages


def comparable_versions(version: DatasetVersion) -> tuple[list[DatasetVersion], list[int]]:
    """What can be compared with, and which of it evaluation suites use (those first). Not the dataset's own versions:
    nearly every record would be found in them."""
    ready = DatasetVersion.objects.filter(dataset__workspace=version.dataset.workspace_id, state=VersionState.READY)
    ready = ready.exclude(dataset=version.dataset_id).select_related("dataset")
    used = list(ready.filter(suites__isnull=False).distinct().order_by("-pk")[:OFFERED])
    evaluated = [item.pk for item in used]
    return [*used, *ready.exclude(pk__in=evaluated).order_by("-pk")[: OFFERED - len(used)]], evaluated


def stages_of(version: DatasetVersion, made: str) -> Stages | None:
    """The stages with which a version was made from this one, to go on from."""
    child = version.children.filter(pk=int(made)).first() if made.isdecimal() and len(made) < 18 else None
    return Stages.model_validate(child.recipe["processed"]) if child and "processed" in child.recipe else None


def preview(*, user: User, version_id: int, stages: Stages) -> dict[str, Any]:
    """What the stages would do with 500 random records: {"sampled", "stages": reports}. Nothing is stored.

    A program of its own does it: documents may be hostile, and the web server must not wait for them.
    """
    version = access_version(user, version_id, role=Role.MANAGER)
    files.version_path(version)
    stages = checked(version, stages)
    sets = DatasetVersion.objects.select_related("dataset").in_bulk(stages.decontamination.against)
    positions = random.Random(version.sha256).sample(range(version.count), min(PREVIEWED, version.count))
    rows = RecordRow.objects.filter(version=version, position__in=positions).order_by("position")
    records = list(rows.values_list("data", flat=True))
    claimed = {item["sha256"] for record in records for item in record.get("media") or () if item.get("sha256")}
    held = VersionMedia.objects.filter(version=version, sha256__in=claimed).values_list("sha256", flat=True)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=storage.folder("runs")) as name:
        folder = Path(name)
        (folder / "records.jsonl").write_bytes(b"".join(record_line(data) for data in records))
        request = {
            "records": str(folder / "records.jsonl"),
            "stages": stages.model_dump(mode="json"),
            "sets": {str(item): str(files.version_path(item)) for item in sets.values()},
            "media": str(storage.folder("media")),
            "held": list(held),
            "work": str(folder / "work"),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run(folder)
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    return {"sampled": len(positions), "count": version.count, "stages": answer["stages"]}


def _run(folder: Path) -> None:
    command = [
        sys.executable, "-m", "workers.data.processing.preview", str(folder / "request.json"), str(folder / "answer.json"),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            env=environment(1, {"SHUYUAN_PARENT": str(os.getpid())}),
            capture_output=True,
            timeout=PREVIEW_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            "processing.preview_slow",
            "The preview took longer than {seconds} seconds; switch off the reading of files, or start without a preview.",
            status=422,
            seconds=PREVIEW_SECONDS,
        ) from error
    if done.returncode:
        logger.error("preview ended with %s: %s", done.returncode, done.stderr[-2000:].decode("utf-8", "replace"))
        raise UserError("processing.preview_failed", "The preview could not be made; the server's log says why.", status=500)

"""The API of labelling, below /api/v1/: projects, the queue of tasks, annotations, exports."""

import uuid
from typing import Any

from django.http import HttpResponseBase
from ninja import Router, Status

from webapp.core.errors import UserError
from webapp.datasets.access import access_version
from webapp.datasets.requests import MemberRequest
from webapp.datasets.schemas import VersionOut
from webapp.labeling import exports, queries, services
from webapp.labeling.access import access_project
from webapp.labeling.flow_api import router as flow_router
from webapp.labeling.learning.api import router as learning_router
from webapp.labeling.models import Annotation
from webapp.labeling.presets import described, fitting_presets, make_schema, preset_for
from webapp.labeling.schemas import (
    AnnotationList,
    AnnotationOut,
    DraftIn,
    PresetOut,
    ProjectIn,
    ProjectList,
    ProjectOut,
    ProjectPatch,
    SkipIn,
    SubmitIn,
    SubmitOut,
    TaskList,
    TaskOut,
    VersionIn,
)
from webapp.labeling.work import queue, submitting

router = Router()
router.add_router("", flow_router)
router.add_router("", learning_router)


@router.get("/workspaces/{slug}/label-projects", response=ProjectList, by_alias=True)
def list_projects(request: MemberRequest, slug: str, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    page = queries.list_projects(user=request.user, slug=slug, cursor=cursor, limit=limit)
    return {"items": [ProjectOut.of(project) for project in page.items], "next_cursor": page.next_cursor}


@router.post("/workspaces/{slug}/label-projects", response={201: ProjectOut}, by_alias=True)
def create_project(request: MemberRequest, slug: str, payload: ProjectIn) -> Status[ProjectOut]:
    schema = payload.questions
    if schema is None:
        version = access_version(request.user, payload.version)
        preset = payload.preset or preset_for(version)
        schema = make_schema(preset, version, labels=payload.labels, propose=payload.propose)
    project = services.create_project(
        user=request.user,
        slug=slug,
        version_id=payload.version,
        name=payload.name,
        schema=schema,
        instructions=payload.instructions,
        overlap=payload.overlap,
        limit=payload.limit,
        flow=payload.flow,
    )
    return Status(201, ProjectOut.of(project))


@router.get("/versions/{version_id}/label-presets", response=list[PresetOut], by_alias=True)
def list_presets(request: MemberRequest, version_id: int) -> list[dict[str, Any]]:
    """Ready-made questions for the records of a version, those that fit first."""
    version = access_version(request.user, version_id)
    return [described(preset, version) for preset in fitting_presets(version)]


@router.get("/label-projects/{project_id}", response=ProjectOut, by_alias=True)
def get_project(request: MemberRequest, project_id: int) -> ProjectOut:
    return ProjectOut.of(access_project(request.user, project_id))


@router.patch("/label-projects/{project_id}", response=ProjectOut, by_alias=True)
def update_project(request: MemberRequest, project_id: int, payload: ProjectPatch) -> ProjectOut:
    changes = payload.model_dump(exclude_unset=True)
    return ProjectOut.of(services.update_project(user=request.user, project_id=project_id, **changes))


@router.delete("/label-projects/{project_id}", response={204: None})
def delete_project(request: MemberRequest, project_id: int) -> Status[None]:
    services.delete_project(user=request.user, project_id=project_id)
    return Status(204, None)


@router.get("/label-projects/{project_id}/tasks", response=TaskList)
def list_tasks(request: MemberRequest, project_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    page = queries.list_tasks(user=request.user, project_id=project_id, cursor=cursor, limit=limit)
    return {"items": [TaskOut.of(task) for task in page.items], "next_cursor": page.next_cursor}


@router.get("/label-projects/{project_id}/annotations", response=AnnotationList)
def list_annotations(request: MemberRequest, project_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    """Current annotations, the newest first; annotators get their own."""
    page = queries.list_annotations(user=request.user, project_id=project_id, cursor=cursor, limit=limit)
    return {"items": [AnnotationOut.of(annotation) for annotation in page.items], "next_cursor": page.next_cursor}


@router.get("/label-projects/{project_id}/export")
def export(request: MemberRequest, project_id: int, format: str = "jsonl") -> HttpResponseBase:
    return exports.export_annotations(user=request.user, project_id=project_id, format=format)


@router.post("/label-projects/{project_id}/versions", response={201: VersionOut})
def make_version(request: MemberRequest, project_id: int, payload: VersionIn) -> Status[VersionOut]:
    """The labelled records as a new dataset version."""
    version = exports.create_labelled_version(user=request.user, project_id=project_id, dataset_name=payload.dataset_name)
    return Status(201, VersionOut.of(version))


@router.get("/label-projects/{project_id}/next")
def next_task(request: MemberRequest, project_id: int) -> dict[str, Any]:
    """`{task, draft, lease, progress}`, or `{empty: {reason, next_free_at}, progress}`. Asking again gives the same task."""
    return queue.next_task(user=request.user, project_id=project_id).payload()


@router.post("/label-projects/{project_id}/undo")
def undo(request: MemberRequest, project_id: int) -> dict[str, Any]:
    """The own annotation before this one, as `next` gives a task; asking again goes further back."""
    return submitting.go_back(user=request.user, project_id=project_id).payload()


@router.post("/tasks/{task_id}/annotations", response={200: SubmitOut, 202: SubmitOut})
def submit(request: MemberRequest, task_id: int, payload: SubmitIn) -> Status[dict[str, Any]]:
    """Store an annotation and claim the next task. 202: it came when no slot was free any more and is kept as surplus."""
    stored = submitting.submit(user=request.user, task_id=task_id, **payload.model_dump())
    return Status(202 if stored.surplus else 200, _stored(request, stored))


@router.post("/tasks/{task_id}/skip", response=SubmitOut)
def skip(request: MemberRequest, task_id: int, payload: SkipIn) -> dict[str, Any]:
    return _stored(request, submitting.skip(user=request.user, task_id=task_id, key=payload.key or str(uuid.uuid4())))


def _stored(request: MemberRequest, stored: Annotation) -> dict[str, Any]:
    """What was stored is never taken back because the next task cannot be given."""
    try:
        following = queue.turn_after(stored, request.user).payload()
    except UserError as error:
        following = {"empty": {"reason": "done", "next_free_at": None, "leased": 0}, "error": error.code}
    return {"annotation": AnnotationOut.of(stored), "next": following}


@router.put("/tasks/{task_id}/draft")
def save_draft(request: MemberRequest, task_id: int, payload: DraftIn) -> dict[str, Any]:
    draft = queue.save_draft(user=request.user, task_id=task_id, value=payload.value)
    return {"saved_at": draft.saved_at.isoformat()}


@router.post("/tasks/{task_id}/heartbeat")
def heartbeat(request: MemberRequest, task_id: int) -> dict[str, Any]:
    """Renew the lease for ten minutes. `lease: null`: it has gone to somebody else; submitting still stores the work."""
    expires_at = queue.heartbeat(user=request.user, task_id=task_id)
    return {"lease": {"expires_at": expires_at.isoformat()} if expires_at else None}


@router.post("/tasks/{task_id}/release", response={204: None})
def release(request: MemberRequest, task_id: int) -> Status[None]:
    queue.release(user=request.user, task_id=task_id)
    return Status(204, None)


@router.get("/tasks/{task_id}/annotations", response=list[AnnotationOut])
def history(request: MemberRequest, task_id: int) -> list[AnnotationOut]:
    """All revisions of the own annotation, the newest first."""
    return [AnnotationOut.of(annotation) for annotation in submitting.history(user=request.user, task_id=task_id)]

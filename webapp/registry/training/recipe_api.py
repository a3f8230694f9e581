"""The API of recipes in the formats of other programs, below /api/v1/."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field as Limits

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role
from webapp.core.errors import NotFound
from webapp.jobs.access import access_job
from webapp.registry.training import recipe_files, recipe_sharing
from webapp.registry.training.api import asker
from webapp.registry.training.runs import RUN_KINDS

router = Router()


class RecipeIn(Schema):
    """`text`: LLaMA-Factory's YAML or an XTuner config."""

    text: str = Limits(max_length=recipe_files.LARGEST)


class RecipeOut(Schema):
    """`settings`: the body for `POST /workspaces/{slug}/training/{kind}`; `notes`: what has no counterpart here."""

    program: str
    kind: str
    settings: dict[str, Any]
    notes: list[str]


@router.post("/workspaces/{slug}/training/recipes/read", response=RecipeOut)
def read_recipe(request: HttpRequest, slug: str, payload: RecipeIn) -> dict[str, Any]:
    """Read the settings of LLaMA-Factory or XTuner. Nothing is started and no code is run."""
    workspace = access_workspace(asker(request), slug, role=Role.MANAGER)
    recipe = recipe_files.read_recipe(payload.text)
    settings = recipe_sharing.as_settings(workspace, recipe)
    return {"program": recipe.program, "kind": recipe.kind, "settings": settings, "notes": recipe.told()}


@router.get("/training/runs/{job_id}/recipe")
def write_recipe(request: HttpRequest, job_id: int) -> HttpResponse:
    """The settings of a run as LLaMA-Factory's YAML."""
    job = access_job(asker(request), job_id)
    if job.kind not in RUN_KINDS:
        raise NotFound
    return HttpResponse(recipe_sharing.llamafactory_file(job), content_type="application/yaml; charset=utf-8")

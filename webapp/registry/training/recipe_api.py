"""The API of recipes in the formats of other programs, below /api/v1/."""

from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field as Limits

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role
from webapp.core.errors import NotFound
from webapp.jobs.access import access_job
from webapp.registry.training import recipe_files, recipe_sharing
from webapp.registry.training.api import asker
from webapp.registry.training.recipe_views import written
from webapp.registry.training.runs import RUN_KINDS

router = Router()


class RecipeIn(Schema):
    """`text`: LLaMA-Factory's YAML, an XTuner or a DeepSpeed config; `kind` of run for DeepSpeed's, which does not say it."""

    text: str = Limits(max_length=recipe_files.LARGEST)
    kind: Literal["sft", "preference", "reward", "grpo", "pretrain"] = "sft"


class RecipeOut(Schema):
    """`settings`: the body for `POST /workspaces/{slug}/training/{kind}`; `notes`: what has no counterpart here."""

    program: str
    kind: str
    settings: dict[str, Any]
    notes: list[str]


@router.post("/workspaces/{slug}/training/recipes/read", response=RecipeOut)
def read_recipe(request: HttpRequest, slug: str, payload: RecipeIn) -> dict[str, Any]:
    """Read the settings of LLaMA-Factory, XTuner or DeepSpeed. Nothing is started and no code is run."""
    workspace = access_workspace(asker(request), slug, role=Role.MANAGER)
    recipe = recipe_files.read_recipe(payload.text, payload.kind)
    settings = recipe_sharing.as_settings(workspace, recipe)
    return {"program": recipe.program, "kind": recipe.kind, "settings": settings, "notes": recipe.told()}


@router.get("/training/runs/{job_id}/recipe")
def write_recipe(request: HttpRequest, job_id: int, program: Literal["llamafactory", "xtuner"] = "llamafactory") -> HttpResponse:
    """The settings of a run as LLaMA-Factory's YAML or as XTuner's Python config."""
    job = access_job(asker(request), job_id)
    if job.kind not in RUN_KINDS:
        raise NotFound
    return written(job, program)

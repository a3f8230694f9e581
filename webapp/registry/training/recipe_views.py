"""A file of LLaMA-Factory or XTuner fills the launch form; a run is written as one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import Role, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import UserError, translate
from webapp.jobs.models import Job
from webapp.registry.training import forms, recipe_files, recipe_sharing, xtuner_writing
from webapp.registry.training.views import find_run, form_context


@require_POST
@workspace_page(role=Role.MANAGER)
def recipe_read(request: HttpRequest, workspace: Workspace, kind: str) -> HttpResponse:
    """The launch form as the file says, with a list of what has no counterpart; nothing is started."""
    try:
        recipe = recipe_files.read_recipe(_text(request), kind)
    except UserError as error:
        form = forms.TrainingForm(workspace, kind, {})
        form.errors.append(translate(error.template, error.params))
        response = page(request, "training/new.html", workspace, "training", **form_context(form, kind, {}))
        response.status_code = 422
        return response
    given = recipe_sharing.as_form(workspace, recipe)
    form = forms.TrainingForm(workspace, recipe.kind, given)
    context = {**form_context(form, recipe.kind, given), "recipe": recipe}
    return page(request, "training/new.html", workspace, "training", **context)


def _text(request: HttpRequest) -> str:
    """The uploaded file, or what was pasted."""
    upload = request.FILES.get("recipe")
    if upload is None:
        return request.POST.get("text", "")
    content: bytes = upload.read(recipe_files.LARGEST + 1)
    return content.decode("utf-8", errors="replace")


@require_safe
@workspace_page()
def recipe_write(request: HttpRequest, workspace: Workspace, job_id: int, program: str = "llamafactory") -> HttpResponse:
    job = find_run(request, workspace, job_id)
    try:
        return written(job, program)
    except UserError:
        return redirect("job", workspace.slug, job.pk)


def written(job: Job, program: str) -> HttpResponse:
    """The run's settings as a file to save, for `llamafactory` or `xtuner`."""
    if program == "xtuner":
        text, kind, ending = xtuner_writing.xtuner_file(job), "text/x-python", "py"
    else:
        text, kind, ending = recipe_sharing.llamafactory_file(job), "application/yaml", "yaml"
    response = HttpResponse(text, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{job.pk}.{ending}"'
    return response

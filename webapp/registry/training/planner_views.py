"""«Will it fit?»: the planner's page for training and serving, and the planner beside the training form."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.pages import page, workspace_page
from webapp.core.errors import UserError, translate
from webapp.registry.training import bars, planned_form, planning, services
from webapp.registry.training.planner_forms import BITS, ServingQuestion, TrainingQuestion, asked

Question = TrainingQuestion | ServingQuestion
TASKS: dict[str, type[Question]] = {"training": TrainingQuestion, "serving": ServingQuestion}


def asker(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@require_safe
@workspace_page()
def planner(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    task = "serving" if request.GET.get("task") == "serving" else "training"
    context = answered(request, workspace, task)
    if request.headers.get("HX-Request"):
        return render(request, f"planner/_{task}.html", {"workspace": workspace, **context})
    context |= {
        "models": planning.offered_models(workspace),
        "speed": planning.measured_speed(),
        "may_measure": may(asker(request), workspace, Role.ANNOTATOR),
    }
    return page(request, "planner/planner.html", workspace, "training", **context)


def answered(request: HttpRequest, workspace: Workspace, task: str) -> dict[str, Any]:
    """The question as it was understood, and the table that answers it; an odd value is told and its default taken."""
    problem = ""
    values = asked(request.GET.dict())
    own = next((value for value, _ in planning.offered_models(workspace) if value.isdigit()), None)
    if "model" not in values and own is not None and "sent" not in values:
        values["model"] = own
    try:
        question: Question = TASKS[task].model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = gettext("The field “%(field)s” is not right: %(reason)s.") % {
            "field": ".".join(map(str, first["loc"])),
            "reason": first["msg"],
        }
        question = TASKS[task]()
    shape = planning.find_shape(asker(request), workspace, question.model)
    context: dict[str, Any] = {"task": task, "question": question, "problem": problem, "shape": shape, "bits": BITS}
    if shape is None:
        return context | {"problem": problem or gettext("The config.json of this model does not tell its shape.")}
    if isinstance(question, TrainingQuestion):
        scale = planning.learned_scale(workspace)
        found = planning.rows(
            shape, question.plan(), tokens=question.million_tokens * 1e6, precision=question.precision, scale=scale
        )
        return context | {"rows": bars.drawn(found)}
    return context | {"rows": bars.drawn_serving(planning.serving_rows(shape, question.plan()))}


@require_safe
@workspace_page(role=Role.MANAGER)
def planner_panel(request: HttpRequest, workspace: Workspace, kind: str) -> HttpResponse:
    """Beside the training form: does what is chosen fit on the devices here, and which recipe does?"""
    services.spec_class(kind)
    context: dict[str, Any] = {"workspace": workspace, "kind": kind}
    try:
        context |= planned_form.panel(asker(request), workspace, kind, request.GET)
    except UserError as error:
        context["problem"] = translate(error.template, error.params)
    return render(request, "planner/_panel.html", context)


@require_POST
@workspace_page(role=Role.ANNOTATOR)
def planner_measure(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    job = planning.measure_machine(user=asker(request), slug=workspace.slug)
    return redirect("job", workspace.slug, job.pk)

"""The job kind `evaluate`: one model on one suite."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from webapp.core.errors import NotFound
from webapp.datasets.models import DatasetVersion
from webapp.evals import results
from webapp.evals.models import Evaluation
from webapp.jobs.kinds import JobKind, register
from webapp.jobs.models import Job
from webapp.registry.inputs import endpoint_environment, model_input
from webapp.registry.kinds import spec_model
from webapp.registry.training.kinds import dataset_input
from workers.spec.evaluate import EvalSpec


def inputs(job: Job) -> dict[str, Any]:
    version = DatasetVersion.objects.select_related("dataset").filter(pk=job.spec["dataset"], dataset__workspace=job.workspace_id)
    found = version.first()
    if found is None:
        raise NotFound("dataset.gone", "A dataset that this job needs has been deleted.")
    return {"model": model_input(spec_model(job)), "dataset": dataset_input(found)}


def environment(job: Job) -> dict[str, str]:
    return endpoint_environment(spec_model(job))


def page(job: Job) -> str | None:
    found = Evaluation.objects.filter(job=job).first()
    return reverse("evaluation", args=[job.workspace.slug, found.pk]) if found else None


def context(job: Job) -> dict[str, Any]:
    return {"evaluation": Evaluation.objects.filter(job=job).select_related("suite", "model").first()}


register(
    JobKind(
        name="evaluate",
        label=_("Evaluation"),
        spec=EvalSpec,
        program="workers.evaluate",
        icon="certificate",
        inputs=inputs,
        environment=environment,
        finished=results.store_results,
        ended=results.store_failure,
        page=page,
        partial="evals/_job.html",
        context=context,
    )
)

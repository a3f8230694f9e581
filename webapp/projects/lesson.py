"""The demo's next step: teach the shop assistant the new policies by an adapter (LoRA), then examine what it learnt."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from webapp.accounts.access import may
from webapp.accounts.models import Role, User, Workspace
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.evals.models import Suite
from webapp.registry.models import Model, ModelKind, ModelState
from workers.starter import catalog

ORIGIN = "workers.starter: {}"
"""What a version of the demo says it was made from."""


@dataclass(frozen=True)
class Step:
    """A link of the home page."""

    title: str | Promise
    text: str | Promise
    url: str


def next_step(workspace: Workspace, user: User) -> Step | None:
    """None outside the demo, for those who may not train, and where its data or model has been deleted."""
    if not workspace.is_demo or not may(user, workspace, Role.MANAGER):
        return None
    plan = catalog.files().lesson
    models = Model.objects.filter(workspace=workspace, state=ModelState.READY)
    learner = models.filter(kind=ModelKind.TUNED, family=catalog.FAMILY, job=None).first()
    data = _version(workspace, plan.dataset)
    if learner is None or data is None:
        return None
    exam = Suite.objects.filter(workspace=workspace, version=_version(workspace, plan.exam)).first()
    if exam is not None and models.filter(kind=ModelKind.ADAPTER, base=learner).exists():
        return Step(
            _("Examine what the adapter learnt"),
            _("On questions about the new policies, against the model without it."),
            reverse("suite", args=[workspace.slug, exam.pk]),
        )
    given = {"datasets": data.pk, "base_model": learner.pk, "method": "lora"}
    return Step(
        _("Teach the shop assistant the new policies by LoRA"),
        _("Everything is filled in: press Start. It takes a minute."),
        f"{reverse('training_new', args=[workspace.slug, 'sft'])}?{urlencode(given)}",
    )


def _version(workspace: Workspace, key: str) -> DatasetVersion | None:
    found = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY, origin=ORIGIN.format(key))
    return found.order_by("pk").first()

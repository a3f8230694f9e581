"""The demo workspace as it is prepared, and its next step: teaching the shop assistant new policies by LoRA."""

from typing import Any

import pytest
from django.test import Client

from tests.conftest import logged_in
from webapp.accounts.models import Membership, Role, User, Workspace
from webapp.accounts.services import create_workspace
from webapp.datasets.models import DatasetVersion
from webapp.evals.models import Evaluation, Suite
from webapp.jobs.models import Job
from webapp.projects import demo, lesson
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.training.forms import TrainingForm
from workers.starter import catalog

pytestmark = pytest.mark.django_db


@pytest.fixture
def prepared(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    settings.MINIMUM_FREE_MB = 1
    demo.prepare()
    return Workspace.objects.get(is_demo=True)


@pytest.fixture
def admin(prepared: Workspace) -> User:
    return User.objects.get(memberships__workspace=prepared, memberships__role=Role.OWNER)


def taught(prepared: Workspace, admin: User) -> Model:
    """The adapter that such a run registers."""
    learner = Model.objects.get(workspace=prepared, kind=ModelKind.TUNED)
    return Model.objects.create(
        workspace=prepared, name="Adapter", kind=ModelKind.ADAPTER, state=ModelState.READY, base=learner, created_by=admin
    )


def test_every_dataset_has_a_version_and_every_exam_its_evaluations(prepared: Workspace) -> None:
    items = catalog.files().datasets
    assert DatasetVersion.objects.filter(dataset__workspace=prepared).count() == len(items)
    assert Suite.objects.filter(workspace=prepared).count() == sum(item.use == "held_out" for item in items)
    exam = Suite.objects.get(version__origin=lesson.ORIGIN.format(catalog.files().lesson.exam))
    assert [item.model.kind for item in Evaluation.objects.filter(suite=exam).select_related("model")] == [ModelKind.TUNED]


def test_preparing_again_makes_nothing_twice(prepared: Workspace) -> None:
    before = [kind.objects.count() for kind in (DatasetVersion, Model, Suite, Evaluation, Job)]
    demo.prepare()
    assert [kind.objects.count() for kind in (DatasetVersion, Model, Suite, Evaluation, Job)] == before


def test_home_page_offers_a_lora_run_with_everything_filled_in(prepared: Workspace, admin: User) -> None:
    """Issue 4: the first page's chain shows LoRA at work; Start needs nothing more."""
    step = lesson.next_step(prepared, admin)
    assert step is not None
    client = logged_in(admin)
    assert step.url.replace("&", "&amp;") in client.get(f"/w/{prepared.slug}/").content.decode()
    asked = client.get(step.url)
    assert asked.status_code == 200
    form: TrainingForm = asked.context["form"]
    assert form.method == "lora"
    assert form.base.kind == ModelKind.TUNED
    assert form.dataset.origin.endswith(catalog.files().lesson.dataset)
    answer = client.post(
        f"/w/{prepared.slug}/training/new/sft/",
        {"datasets": form.dataset.pk, "base_model": form.base.pk, "method": form.method, "name": form.name},
    )
    assert answer.status_code == 302
    assert Job.objects.filter(kind="sft").get().spec["method"] == "lora"


def test_after_the_run_the_exam_comes_next(prepared: Workspace, admin: User) -> None:
    taught(prepared, admin)
    step = lesson.next_step(prepared, admin)
    assert step is not None
    assert logged_in(admin).get(step.url).status_code == 200
    assert Suite.objects.get(version__origin__endswith="new_policies_held_out").pk == int(step.url.rstrip("/").rsplit("/", 1)[1])


def test_who_may_not_train_is_not_asked_to(prepared: Workspace, bob: User, alice_client: Client, workspace: Workspace) -> None:
    Membership.objects.create(user=bob, workspace=prepared, role=Role.ANNOTATOR)
    assert lesson.next_step(prepared, bob) is None
    page = logged_in(bob).get(f"/w/{prepared.slug}/")
    assert page.status_code == 200
    assert "method=lora" not in page.content.decode()
    assert "method=lora" not in alice_client.get(f"/w/{workspace.slug}/").content.decode()


def test_no_step_without_its_data(prepared: Workspace, admin: User) -> None:
    DatasetVersion.objects.filter(origin__endswith="new_policies").delete()
    assert lesson.next_step(prepared, admin) is None


def test_empty_workspace_begins_with_data_not_with_a_chat(prepared: Workspace, admin: User) -> None:
    fresh = create_workspace(user=admin, name="Fresh")
    browser = logged_in(admin)
    assert "find what it gets wrong" in browser.get(f"/w/{prepared.slug}/").content.decode()
    assert "find what it gets wrong" not in browser.get(f"/w/{fresh.slug}/").content.decode()

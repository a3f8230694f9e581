"""The demo workspace: the invented shop 书院小店 with its data, the starter model, a deployment, evaluations and a label project.

Prepared once, at the first start, by the same services that people use. Every step looks first whether it has been done, so
that a start that was interrupted is finished by the next one.
"""

from django.conf import settings
from django.utils.translation import get_language

from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_workspace, ensure_admin
from webapp.core import storage
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.datasets.services import create_version_from_records, get_or_create_dataset
from webapp.evals.models import Suite
from webapp.evals.services import create_suite, run_evaluations
from webapp.labeling.models import LabelProject
from webapp.labeling.presets import ANSWER, make_schema
from webapp.labeling.services import create_project
from webapp.projects.lesson import ORIGIN
from webapp.registry.starter import both, place_starter
from webapp.serving.models import Deployment
from webapp.serving.services import create_deployment
from workers.spec.serve import ServeSpec
from workers.starter import catalog

SLUG = "demo"
DEPLOYMENT = "starter"


def is_prepared() -> bool:
    return (settings.DATA_DIR / "demo.prepared").exists()


def prepare() -> None:
    """Make what is missing; the deployment comes first, because the first thing a person does is chat."""
    files = catalog.files()
    user, _created = ensure_admin()
    workspace = Workspace.objects.filter(is_demo=True).first() or create_workspace(
        user=user, name=both(files.project), slug=SLUG, is_demo=True
    )
    models = place_starter(user, workspace)
    if "tuned" in models and not Deployment.objects.filter(workspace=workspace).exists():
        create_deployment(user=user, workspace=workspace.slug, spec=ServeSpec(model=models["tuned"].pk), name=DEPLOYMENT)
    versions = {item.key: prepare_dataset(user, workspace, item) for item in files.datasets}
    prepare_labelling(user, workspace, versions["unlabelled"])
    for item in files.datasets:
        if item.use == "held_out":
            # Nobody has learnt what the lesson's exam asks: its first line is the model that will be taught.
            asked = [files.lesson.model] if item.key == files.lesson.exam else list(models)
            prepare_evaluation(user, workspace, versions[item.key], [models[key].pk for key in asked if key in models])
    storage.write_atomically(settings.DATA_DIR / "demo.prepared", [b"1\n"])


def prepare_dataset(user: User, workspace: Workspace, item: catalog.DemoData) -> DatasetVersion:
    dataset = get_or_create_dataset(user=user, workspace=workspace, name=both(item.name), description=both(item.description))
    ready = dataset.versions.filter(state=VersionState.READY).order_by("number").first()
    if ready is not None:
        return ready
    return create_version_from_records(
        user=user, dataset_id=dataset.pk, records=item.make(), origin=ORIGIN.format(item.key), recipe={"demo": item.key}
    )


def prepare_labelling(user: User, workspace: Workspace, version: DatasetVersion) -> None:
    """New questions to answer by hand: the label project that a newcomer opens first."""
    if not LabelProject.objects.filter(workspace=workspace).exists():
        create_project(
            user=user,
            slug=workspace.slug,
            version_id=version.pk,
            name=str(version.dataset.name),
            schema=make_schema(ANSWER, version, question="最好的回答 · The best answer"),
        )


def prepare_evaluation(user: User, workspace: Workspace, version: DatasetVersion, models: list[int]) -> None:
    """A suite on held-out records, and base and tuned model examined on it by real jobs."""
    suite = Suite.objects.filter(workspace=workspace, version=version).first() or create_suite(
        user=user, slug=workspace.slug, version_id=version.pk
    )
    if models:
        run_evaluations(user=user, suite_id=suite.pk, model_ids=models, idempotency_key=f"demo-{suite.pk}")


def suggestions(workspace: Workspace, user: User) -> list[str]:
    """What an empty conversation in the demo suggests to ask, in the reader's language."""
    if not workspace.is_demo:
        return []
    chinese = (get_language() or "").startswith("zh")
    return [question.zh if chinese else question.en for question in catalog.files().questions]

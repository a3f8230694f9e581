"""What the tests of labelling start from: a dataset, a project over it, and people."""

from typing import Any

from webapp.accounts.models import Membership, Role, User, Workspace
from webapp.datasets import services as datasets
from webapp.datasets.models import DatasetVersion
from webapp.labeling import services
from webapp.labeling.models import LabelProject
from workers.spec.record import Message, Record

LABELS = ["card", "transfer", "cash"]
CHOICE = {"fields": [{"name": "label", "type": "choice", "choices": LABELS}]}
ANSWER = {"fields": [{"name": "answer", "type": "text", "source": "messages.last"}]}


def texts(count: int, label: str | None = None) -> list[Record]:
    return [Record(id=f"r{index}", text=f"text number {index}", label=label) for index in range(count)]


def conversations(count: int) -> list[Record]:
    return [
        Record(
            id=f"c{index}",
            messages=[Message(role="user", content=f"question {index}"), Message(role="assistant", content="draft answer")],
        )
        for index in range(count)
    ]


def make_version(user: User, workspace: Workspace, records: list[Record], name: str = "Texts") -> DatasetVersion:
    dataset = datasets.create_dataset(user=user, slug=workspace.slug, name=name)
    return datasets.create_version_from_records(user=user, dataset_id=dataset.pk, records=records, origin="a test")


def make_project(user: User, workspace: Workspace, records: list[Record], schema: Any = CHOICE, **options: Any) -> LabelProject:
    version = make_version(user, workspace, records, options.pop("dataset", "Texts"))
    return services.create_project(
        user=user, slug=workspace.slug, version_id=version.pk, name=options.pop("name", "Intents"), schema=schema, **options
    )


def member(workspace: Workspace, name: str, role: str = Role.ANNOTATOR) -> User:
    user = User.objects.create_user(name, password=f"{name}-password")
    Membership.objects.create(user=user, workspace=workspace, role=role)
    return user


def choose(label: str) -> list[dict[str, Any]]:
    return [{"q": "label", "type": "choice", "value": label}]

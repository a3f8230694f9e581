"""Who is who in the tests: alice owns the workspace, bob is a member (annotator), charlie is a stranger."""

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.test import Client
from django.utils import translation

from webapp.accounts.models import Membership, Role, User, Workspace
from webapp.accounts.services import create_workspace
from workers import supervise

# Programs that a test waits for compete with the tests beside it as equals.
supervise.NICE = "0"

# The same examples every time, and no clock decides.
hypothesis.settings.register_profile(
    "shuyuan", deadline=None, derandomize=True, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shuyuan")


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> Path:
    """Every test has a data folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    settings.DATA_DIR = folder
    return folder


@pytest.fixture(autouse=True)
def default_language() -> None:
    """A request of the test before may have left its language in this thread."""
    translation.deactivate()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="alice-password")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="bob-password")


@pytest.fixture
def charlie(db: None) -> User:
    return User.objects.create_user("charlie", password="charlie-password")


@pytest.fixture
def workspace(alice: User, bob: User) -> Workspace:
    made = create_workspace(user=alice, name="Academy")
    Membership.objects.create(user=bob, workspace=made, role=Role.ANNOTATOR)
    return made


def logged_in(user: User) -> Client:
    client = Client(headers={"accept": "text/html"})
    client.force_login(user)
    return client


@pytest.fixture
def alice_client(alice: User, workspace: Workspace) -> Client:
    return logged_in(alice)


@pytest.fixture
def bob_client(bob: User, workspace: Workspace) -> Client:
    return logged_in(bob)


@pytest.fixture
def charlie_client(charlie: User) -> Client:
    return logged_in(charlie)

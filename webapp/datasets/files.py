"""Where the canonical file of a version lies, named by its content."""

from pathlib import Path

from django.conf import settings

from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion, VersionState


def canonical_path(sha256: str) -> Path:
    return storage.folder("datasets") / f"{sha256}.jsonl"


def version_path(version: DatasetVersion) -> Path:
    """The canonical file of a version; an error in one sentence when it is gone."""
    ready_version(version)
    return storage.inside(Path(settings.DATA_DIR), version.path)


def ready_version(version: DatasetVersion) -> DatasetVersion:
    """The version itself when its data can be read, else an error."""
    path = storage.inside(Path(settings.DATA_DIR), version.path)
    if version.state != VersionState.READY or not version.path or not path.is_file():
        raise UserError(
            "dataset.not_ready", "Version {number} of “{name}” has no data yet or no longer; import it again.",
            status=409, number=version.number, name=version.dataset.name,
        )  # fmt: skip
    return version

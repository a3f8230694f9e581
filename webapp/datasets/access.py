"""The door to datasets, versions and uploads."""

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User
from webapp.datasets.models import Dataset, DatasetVersion, Upload


def access_dataset(user: User, dataset_id: int, *, role: str = Role.VIEWER) -> Dataset:
    return access_owned(user, Dataset, dataset_id, role=role)


def access_version(user: User, version_id: int, *, role: str = Role.VIEWER) -> DatasetVersion:
    return access_owned(user, DatasetVersion, version_id, role=role, path="dataset__workspace")


def access_upload(user: User, upload_id: int, *, role: str = Role.MANAGER) -> Upload:
    return access_owned(user, Upload, upload_id, role=role)

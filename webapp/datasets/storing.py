"""Versions from records that the database makes (what people labelled): at once when few, by a light job when many.

An app registers where its records come from under a name; the job keeps the name and the parameters, and its worker asks again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import transaction

from webapp.accounts.models import Role, User
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets import building
from webapp.datasets.access import access_dataset
from webapp.datasets.deriving import INSTANT_RECORDS
from webapp.datasets.models import DatasetVersion
from webapp.datasets.services import create_version_from_records
from webapp.jobs.services import submit_job
from workers.spec.deriving import StoreSpec
from workers.spec.record import Record

Source = Callable[[Mapping[str, Any]], Iterable[Record]]
_sources: dict[str, Source] = {}


def register_source(name: str, source: Source) -> None:
    """`source(parameters)` gives the records, streamed; called again when the job is run again."""
    _sources[name] = source


def records_of(name: str, parameters: Mapping[str, Any]) -> Iterable[Record]:
    if name not in _sources:
        raise UserError("dataset.source_gone", "The version that this job reads has been deleted; start from another.")
    return _sources[name](parameters)


def create_version_from_source(
    *,
    user: User,
    dataset_id: int,
    source: str,
    parameters: Mapping[str, Any],
    expected: int,
    origin: str,
    parent: DatasetVersion | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> DatasetVersion:
    """A version from a registered source, ready at once when about `expected` records are few, else with its job."""
    dataset = access_dataset(user, dataset_id, role=Role.MANAGER)
    values: dict[str, Any] = {"origin": origin[:200], "parent": parent, "recipe": dict(recipe or {})}
    if expected <= INSTANT_RECORDS:
        records = records_of(source, parameters)
        return create_version_from_records(user=user, dataset_id=dataset.pk, records=records, **values)
    storage.require_space()
    with transaction.atomic():
        version = building.next_version(dataset, created_by=user, **values)
        spec = StoreSpec(datasets=[parent.pk] if parent else [], output=version.pk, source=source, parameters=dict(parameters))
        name = f"{dataset.name} ← {origin}"
        version.job = submit_job(user=user, workspace=dataset.workspace, kind="store_records", spec=spec, name=name)
        version.save(update_fields=["job"])
    return version

"""Versions made from a version: changed records and splits. What is small is made at once, the rest by a light job.

Versions never change: a bulk action makes the next version, and undoing it discards that version again.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.datasets import building
from webapp.datasets.access import access_version
from webapp.datasets.files import version_path
from webapp.datasets.indexes import open_index
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.datasets.services import delete_version, get_or_create_dataset
from webapp.jobs.services import submit_job
from workers.spec.deriving import Change, DeriveSpec, Part, Split, output_files
from workers.spec.filters import RecordFilter

INSTANT_BYTES = 8 << 20
INSTANT_RECORDS = 20_000
SAMPLED = 8


def checked_change(**fields: Any) -> Change:
    """A change from what a form or the API gives, or an error in one sentence."""
    try:
        return Change(**fields)
    except (ValidationError, ValueError) as error:
        raise UserError(
            "change.invalid",
            "The change is not complete: choose what to do, the field and a value that it can have (quality is a number).",
            status=422,
        ) from error


def preview_change(*, user: User, version_id: int, wanted: RecordFilter, change: Change) -> dict[str, Any]:
    """How many records it touches, how many are left, and the first of them before and after."""
    from workers.data.deriving import changed

    version = access_version(user, version_id, role=Role.MANAGER)
    index = open_index(version)
    chosen = index.select(wanted)
    count = int(chosen.sum())
    left = {"delete": index.count - count, "keep": count, "set": index.count}[change.action]
    positions = [int(position) for position in chosen.nonzero()[0][:SAMPLED]]
    rows = version.records.filter(position__in=positions).order_by("position")
    samples = [(row, changed(row.data, change) if change.action == "set" else None) for row in rows]
    return {"count": count, "left": left, "samples": samples}


def change_records(*, user: User, version_id: int, wanted: RecordFilter, change: Change) -> DatasetVersion:
    """The next version of the dataset, with the chosen records deleted, kept or changed."""
    version = access_version(user, version_id, role=Role.MANAGER)
    index = open_index(version)
    count = int(index.select(wanted).sum())
    if not count:
        raise UserError("change.no_records", "No record fits the filter; choose others.", status=422)
    if change.action == "delete" and count == index.count:
        raise UserError("dataset.nothing_left", "No record would be left; choose others.", status=422)
    recipe = {
        "change": change.model_dump(mode="json"),
        "filter": wanted.model_dump(mode="json", exclude_defaults=True, exclude={"positions"}),
        "changed": count,
    }
    spec = {"filter": wanted, "change": change}
    return _derive(user, version, [(version.dataset, recipe)], spec)[0]


def undo_change(*, user: User, version_id: int) -> DatasetVersion:
    """Discard a version that a bulk action made, unless something was made from it; returns the version before."""
    version = access_version(user, version_id, role=Role.MANAGER)
    parent = version.parent
    if "change" not in version.recipe or parent is None:
        raise UserError("change.nothing_to_undo", "This version was not made by a bulk action; delete it instead.", status=409)
    delete_version(user=user, version_id=version.pk)
    return parent


def split_version(
    *, user: User, version_id: int, fraction: float, seed: int = 0, stratify: bool = True, names: tuple[str, str] | None = None
) -> tuple[DatasetVersion, DatasetVersion]:
    """Two new versions, each in a dataset of its own: (the rest, the held-out `fraction`)."""
    if not 0 < fraction < 1:
        raise UserError(
            "dataset.bad_fraction", "The held-out part must be more than 0 % and less than 100 %; choose one between.", status=422
        )
    parts = [Part(name="train", share=1 - fraction), Part(name="held-out", share=fraction)]
    split = Split(parts=parts, seed=seed, stratify="label" if stratify else "")
    train, held_out = split_parts(user=user, version_id=version_id, split=split, names=list(names) if names else None)
    return train, held_out


def checked_split(**fields: Any) -> Split:
    try:
        return Split.model_validate(fields)
    except ValidationError as error:
        raise UserError(
            "split.invalid",
            "The split needs 2 to 8 parts, each with a name and a share between 0 and 1; correct them.",
            status=422,
        ) from error


def split_parts(*, user: User, version_id: int, split: Split, names: list[str] | None = None) -> list[DatasetVersion]:
    """A version per part, each in a dataset of its own; records of the same content are never on two sides."""
    from workers.data.splitting import assign

    version = access_version(user, version_id, role=Role.MANAGER)
    assign(open_index(version), split)  # what cannot be split is told now, before anything is made
    titles = names or [f"{version.dataset.name[:100]} · {part.name}"[:120] for part in split.parts]
    if len({" ".join(title.split()) for title in titles}) < len(titles):
        raise UserError("dataset.same_names", "Two parts have the same name; give each its own.", status=422)
    storage.require_space(3 * version.bytes)
    targets = []
    with transaction.atomic():
        for title, part in zip(titles, split.parts, strict=True):
            dataset = get_or_create_dataset(user=user, workspace=version.dataset.workspace, name=title)
            recipe = {
                "split": part.name, "fraction": part.share, "value": part.value, "seed": split.seed,
                "stratify": split.stratify, "facet": split.facet, "of": version.pk,
            }  # fmt: skip
            targets.append((dataset, recipe))
    return _derive(user, version, targets, {"split": split})


def _derive(
    user: User, version: DatasetVersion, targets: list[tuple[Dataset, dict[str, Any]]], asked: Mapping[str, Any]
) -> list[DatasetVersion]:
    """The versions, ready or with the job that makes them."""
    storage.require_space(len(targets) * version.bytes)
    if version.bytes <= INSTANT_BYTES and version.count <= INSTANT_RECORDS:
        return _derive_now(user, version, targets, asked)
    with transaction.atomic():
        made = [_next(user, version, dataset, recipe) for dataset, recipe in targets]
        spec = DeriveSpec(datasets=[version.pk], outputs=[each.pk for each in made], **asked)
        name = f"{version} → {', '.join(str(each) for each in made)}"
        job = submit_job(user=user, workspace=version.dataset.workspace, kind="derive_dataset", spec=spec, name=name)
        DatasetVersion.objects.filter(pk__in=spec.outputs).update(job=job)
        for each in made:
            each.job = job
    return made


def _next(user: User, version: DatasetVersion, dataset: Dataset, recipe: dict[str, Any]) -> DatasetVersion:
    return building.next_version(dataset, origin=str(version)[:200], parent=version, recipe=recipe, created_by=user)


def _derive_now(
    user: User, version: DatasetVersion, targets: list[tuple[Dataset, dict[str, Any]]], asked: Mapping[str, Any]
) -> list[DatasetVersion]:
    from workers.data.deriving import derive

    source = version_path(version)
    made = []
    with tempfile.TemporaryDirectory(dir=storage.folder("datasets"), prefix=".derive-") as folder:
        files = output_files(Path(folder), len(targets))
        spec = DeriveSpec(datasets=[version.pk], outputs=list(range(len(targets))), **asked)
        with building.full_disk_told():
            derive(source, open_index(version), spec, files)
        for (dataset, recipe), file in zip(targets, files, strict=True):
            each = _next(user, version, dataset, recipe)
            building.place(each, file)
            building.fill(each)
            record_audit(
                actor=user, workspace=dataset.workspace, action="dataset.version", subject=str(each), origin=str(version)
            )
            made.append(each)
    return made

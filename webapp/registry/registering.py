"""Puts what a job made (or the project ships) into the registry: files first, then the row becomes ready. Repeatable."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from webapp.accounts.models import User, Workspace
from webapp.core import storage
from webapp.core.events import publish
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.registry.card import generation_defaults
from webapp.registry.models import Model, ModelKind, ModelState
from workers.models.folder import ModelFacts, inspect
from workers.models.generation import read_generation

NAME_LENGTH = 120


def free_name(workspace: Workspace, wanted: str) -> str:
    """`wanted`, or `wanted 2`, `wanted 3` … when a model of that name exists."""
    wanted = " ".join(wanted.split())[: NAME_LENGTH - 6] or "model"
    taken = set(Model.objects.filter(workspace=workspace, name__startswith=wanted).values_list("name", flat=True))
    return next(name for name in (wanted, *(f"{wanted} {number}" for number in range(2, 10**5))) if name not in taken)


def register_model(
    *,
    workspace: Workspace,
    name: str,
    kind: str,
    folder: Path,
    base: Model | None = None,
    job: Job | None = None,
    datasets: Iterable[DatasetVersion] = (),
    card: dict[str, Any] | None = None,
    created_by: User | None = None,
    row: Model | None = None,
    **details: Any,
) -> Model:
    """Register the model in `folder` (its files are linked or copied, `folder` stays as it is).

    Called again for the same job it finishes what an interrupted call began and returns the same model. `row`: a row made
    before, to be filled. `details` (family, licence, languages, description, origin) go before what the folder says.
    """
    facts = inspect(folder)
    if row is None:
        row = _row_for(workspace=workspace, name=name, kind=kind, job=job, base=base, created_by=created_by)
    if row.state == ModelState.READY:
        return row
    target = place_files(folder, row)
    fields = {
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "context_length": facts.context_length,
        "vocabulary": facts.vocabulary,
        "weights_sha256": facts.weights_sha256,
        "template_hash": facts.template_hash,
        "bytes": facts.bytes,
        "licence": facts.licence,
        "languages": facts.languages,
        **inherited(base, facts.kind),
        **tokenizer_facts(base, facts),
        **{key: value for key, value in details.items() if value},
    }
    for key, value in fields.items():
        setattr(row, key, value)
    row.kind, row.base, row.job = kind, base, job
    row.card = {**(card or {}), "dtype": facts.dtype, "model_type": facts.model_type}
    if generation := row.card.get("generation") or read_generation(folder) or (base and generation_defaults(base)):
        row.card["generation"] = generation
    row.path = target.relative_to(settings.DATA_DIR).as_posix()
    row.family = row.family or (base.family if base is not None else row.name)
    row.state, row.error = ModelState.READY, {}
    with transaction.atomic():
        row.save()
        row.datasets.set(datasets)
    publish(f"workspace.{workspace.pk}", model=row.pk, state=row.state)
    return row


def inherited(base: Model | None, kind: str) -> dict[str, Any]:
    """What an adapter's folder does not say and its base does; licence and languages pass to every descendant."""
    if base is None:
        return {}
    found: dict[str, Any] = {"licence": base.licence, "languages": base.languages}
    if kind == "adapter":
        found |= {"architecture": base.architecture, "context_length": base.context_length}
    return {key: value for key, value in found.items() if value}


def tokenizer_facts(base: Model | None, facts: ModelFacts) -> dict[str, Any]:
    """Of an adapter without a tokenizer of its own: its base's."""
    if base is None or facts.template_hash:
        return {}
    return {"vocabulary": base.vocabulary, "template_hash": base.template_hash}


def _row_for(*, workspace: Workspace, name: str, job: Job | None, **fields: Any) -> Model:
    """The row that an earlier, interrupted call made for this job, or a new one under a free name."""
    if job is not None:
        made = Model.objects.filter(workspace=workspace, job=job).order_by("pk").first()
        if made is not None:
            return made
    while True:
        free = free_name(workspace, name)
        try:
            with transaction.atomic():
                return Model.objects.create(workspace=workspace, name=free, family="", job=job, **fields)
        except IntegrityError:
            continue  # somebody took the name between the look and the insert


def place_files(folder: Path, row: Model) -> Path:
    """Give the files a place of their own in the data folder, whole or not at all. Same disk: links, no second copy."""
    target = storage.folder("models") / str(row.pk)
    if target.is_dir():
        return target
    temporary = target.with_name(f".{row.pk}.incoming")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(folder, temporary, copy_function=_link_or_copy)
    temporary.rename(target)
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_files(row: Model) -> None:
    """Take the files away: out of sight by one rename, then deleted."""
    target = Path(settings.DATA_DIR) / row.path
    if not row.path or row.kind == ModelKind.ENDPOINT or not target.is_dir():
        return
    grave = target.with_name(f".{row.pk}.deleted")
    shutil.rmtree(grave, ignore_errors=True)
    target.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)

"""What people do with models: import, add an endpoint, rename, describe, export, merge, delete."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.core import storage
from webapp.core.errors import UserError
from webapp.jobs.models import Job
from webapp.jobs.services import submit_job
from webapp.registry import secrets
from webapp.registry.access import access_model, access_ready_model
from webapp.registry.endpoints import check_endpoint, list_models
from webapp.registry.inputs import endpoint_environment, model_folder, model_input
from webapp.registry.lineage import require_unused
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.registering import NAME_LENGTH, free_name, inherited, register_model, remove_files
from workers.spec.registry import ExportModelSpec, ImportModelSpec, MergeModelSpec

__all__ = [
    "add_endpoint",
    "delete_model",
    "endpoint_environment",
    "export_model",
    "import_model",
    "importable_folders",
    "merge_model",
    "model_input",
    "register_model",
    "update_model",
]
MAXIMUM_LISTED = 200
TRAINABLE = [ModelKind.BASE, ModelKind.TUNED, ModelKind.ADAPTER]
SERVABLE = [ModelKind.BASE, ModelKind.TUNED, ModelKind.ADAPTER]
ANSWERING = [*SERVABLE, ModelKind.ENDPOINT]


def checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise UserError("model.no_name", "The model has no name; give it one.", status=422)
    if len(name) > NAME_LENGTH:
        raise UserError(
            "model.long_name", "The name is longer than {limit} characters; shorten it.", status=422, limit=NAME_LENGTH
        )
    return name


def name_taken(name: str) -> UserError:
    return UserError("model.name_taken", "There is already a model “{name}” here; choose another name.", status=409, name=name)


# Import


def allowed_roots() -> list[Path]:
    """Folders below which models may be imported: `imports/` in the data folder and SHUYUAN_MODEL_FOLDERS."""
    return [storage.folder("imports"), *(Path(folder).expanduser() for folder in settings.MODEL_FOLDERS)]


def importable_folders() -> list[str]:
    """Model folders that lie one or two levels below the allowed roots, to choose from."""
    found = []
    for root in allowed_roots():
        for pattern in ("*/config.json", "*/adapter_config.json", "*/*/config.json"):
            found += sorted(str(path.parent) for path in root.glob(pattern))[:MAXIMUM_LISTED]
    return list(dict.fromkeys(found))[:MAXIMUM_LISTED]


def find_source(folder: str) -> tuple[Path, Path]:
    """(folder, allowed root it lies in). Links are followed before the check, so none leads out."""
    given = Path(folder.strip())
    candidates = [given] if given.is_absolute() else [root / given for root in allowed_roots()]
    for candidate in candidates:
        try:
            resolved = candidate.resolve()
            for root in allowed_roots():
                if resolved.is_relative_to(root.resolve()) and resolved != root.resolve() and resolved.is_dir():
                    return resolved, root.resolve()
        except (OSError, RuntimeError, ValueError):  # a name too long, links in a circle, NUL
            continue
    raise UserError(
        "model.folder_not_allowed",
        "There is no model folder “{folder}” below {roots}; copy it there, or ask whoever runs the server to allow its "
        "place with SHUYUAN_MODEL_FOLDERS.",
        folder=folder[:200],
        roots=", ".join(str(root) for root in allowed_roots()),
    )


def import_model(
    *,
    user: User,
    slug: str,
    folder: str = "",
    hub_id: str = "",
    hub: str = "huggingface",
    revision: str = "main",
    name: str = "",
    base_id: int | None = None,
    idempotency_key: str | None = None,
) -> Model:
    """Start the import of a folder on the server or of a hub repository; returns the row that is being filled."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    folder, hub_id = folder.strip(), hub_id.strip().strip("/")
    if bool(folder) == bool(hub_id):
        raise UserError("model.no_source", "Give either a folder on the server or a hub name (owner/name).", status=422)
    base = access_ready_model(user, workspace, base_id, kinds=[ModelKind.BASE, ModelKind.TUNED]) if base_id else None
    source = str(find_source(folder)[0]) if folder else None
    name = checked_name(name) if name.strip() else free_name(workspace, Path(folder or hub_id).name)
    if idempotency_key and (made := _imported_before(workspace, idempotency_key)):
        return made
    try:
        with transaction.atomic():
            row = Model.objects.create(
                workspace=workspace,
                name=name,
                family=base.family if base else name,
                kind=ModelKind.BASE,
                base=base,
                origin=hub_id or folder,
                created_by=user,
            )
            spec = ImportModelSpec.model_validate(
                {
                    "name": name,
                    "model": row.pk,
                    "folder": source,
                    "hub": hub,
                    "hub_id": hub_id or None,
                    "revision": revision or "main",
                }
            )
            job = submit_job(
                user=user, workspace=workspace, kind="import_model", spec=spec, name=name, idempotency_key=idempotency_key
            )
            row.job = job
            row.save(update_fields=["job"])
    except IntegrityError as error:
        raise name_taken(name) from error
    record_audit(actor=user, workspace=workspace, action="model.import", subject=name, source=hub_id or folder)
    return row


def _imported_before(workspace: Workspace, idempotency_key: str) -> Model | None:
    return Model.objects.filter(workspace=workspace, job__idempotency_key=idempotency_key).first()


# Endpoints


def add_endpoint(
    *, user: User, slug: str, url: str, key: str = "", remote_name: str = "", name: str = "", check: bool = True
) -> Model:
    """Register a model behind an OpenAI-compatible endpoint. With `check` the endpoint must answer and know the model."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    target = check_endpoint(url)
    remote_name = remote_name.strip()
    if check:
        remote_name = _known_remote(list_models(url, key), remote_name, target.url)
    name = checked_name(name or remote_name or target.host)
    try:
        with transaction.atomic():
            row = Model.objects.create(
                workspace=workspace,
                name=name,
                family=name,
                kind=ModelKind.ENDPOINT,
                state=ModelState.READY,
                endpoint_url=target.url,
                endpoint_model=remote_name,
                endpoint_key=secrets.encrypt(key.strip()),
                origin=target.url,
                created_by=user,
            )
    except IntegrityError as error:
        raise name_taken(name) from error
    record_audit(actor=user, workspace=workspace, action="model.add_endpoint", subject=name, url=target.url)
    return row


def _known_remote(offered: list[str], wanted: str, url: str) -> str:
    if not wanted and len(offered) == 1:
        return offered[0]
    if wanted in offered:
        return wanted
    raise UserError(
        "endpoint.unknown_model",
        "{url} offers {models}; give the name of one of them.",
        url=url,
        models=", ".join(offered[:10]) or "no model",
    )


def replace_endpoint_key(*, user: User, model_id: int, key: str) -> Model:
    model = access_model(user, model_id, role=Role.MANAGER)
    if model.kind != ModelKind.ENDPOINT:
        raise UserError("model.no_endpoint", "“{name}” is no endpoint and has no key.", name=model.name)
    model.endpoint_key = secrets.encrypt(key.strip())
    model.save(update_fields=["endpoint_key"])
    record_audit(actor=user, workspace=model.workspace, action="model.replace_key", subject=model.name)
    return model


# Changes


def update_model(*, user: User, model_id: int, base_id: int | None = None, **changes: Any) -> Model:
    """Change name, family, description, licence, languages, or an adapter's base; None leaves a field as it is."""
    model = access_model(user, model_id, role=Role.MANAGER)
    fields = {key: value for key, value in changes.items() if value is not None}
    if base_id is not None:
        fields |= _base_fields(user, model, base_id)
    if "name" in fields:
        fields["name"] = checked_name(fields["name"])
    if "family" in fields:
        fields["family"] = checked_name(fields["family"])
    if "languages" in fields:
        fields["languages"] = [str(item).strip()[:16] for item in fields["languages"] if str(item).strip()][:100]
    for key in ("description", "licence"):
        if key in fields:
            fields[key] = str(fields[key]).strip()[: 60 if key == "licence" else 20_000]
    try:
        with transaction.atomic():
            Model.objects.filter(pk=model.pk).update(**fields)
    except IntegrityError as error:
        raise name_taken(fields["name"]) from error
    record_audit(actor=user, workspace=model.workspace, action="model.update", subject=model.name, fields=sorted(fields))
    model.refresh_from_db()
    return model


def _base_fields(user: User, model: Model, base_id: int) -> dict[str, Any]:
    """An adapter's base, and what the adapter has from it."""
    if model.kind != ModelKind.ADAPTER:
        raise UserError("model.base_not_changeable", "Only the base of a LoRA adapter can be named afterwards.")
    base = access_ready_model(user, model.workspace, base_id, kinds=[ModelKind.BASE, ModelKind.TUNED])
    own = (model_folder(model) / "tokenizer.json").is_file()
    from_base = {} if own else {"vocabulary": base.vocabulary, "template_hash": base.template_hash}
    return {"base": base, **inherited(base, "adapter"), **from_base}


def delete_model(*, user: User, model_id: int) -> None:
    """Delete a model on which nothing stands, with its files and evaluations."""
    model = access_model(user, model_id, role=Role.MANAGER)
    require_unused(model)
    record_audit(actor=user, workspace=model.workspace, action="model.delete", subject=model.name, sha256=model.weights_sha256)
    row = Model.objects.get(pk=model.pk)
    model.delete()
    remove_files(row)


# Jobs on a model


def export_model(
    *, user: User, model_id: int, format: str = "zip", merge: bool = True, idempotency_key: str | None = None
) -> Job:
    """Start an export; its job page offers the file."""
    model = access_model(user, model_id)
    workspace = access_workspace(user, model.workspace.slug, role=Role.ANNOTATOR)
    access_ready_model(user, workspace, model_id)
    _require_weights(model)
    spec = ExportModelSpec.model_validate({"model": model.pk, "format": format, "merge": merge})
    return submit_job(
        user=user, workspace=workspace, kind="export_model", spec=spec, name=model.name, idempotency_key=idempotency_key
    )


def merge_model(*, user: User, model_id: int, name: str = "") -> Job:
    """Start making a full model of a LoRA adapter and its base."""
    model = access_model(user, model_id, role=Role.MANAGER)
    access_ready_model(user, model.workspace, model_id, kinds=[ModelKind.ADAPTER])
    spec = MergeModelSpec(name=checked_name(name or f"{model.name[: NAME_LENGTH - 10]} merged"), model=model.pk)
    return submit_job(user=user, workspace=model.workspace, kind="merge_model", spec=spec, name=spec.name)


def _require_weights(model: Model) -> None:
    if model.kind == ModelKind.ENDPOINT:
        raise UserError(
            "model.remote_export",
            "“{name}” is an endpoint; its weights are not on this server and cannot be exported.",
            name=model.name,
        )
    model_folder(model)

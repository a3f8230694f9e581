"""The starter that ships with the product, for any workspace: a base of one million parameters and its tuned shop assistant."""

from datetime import timedelta

from django.utils import timezone

from webapp.accounts.access import access_workspace
from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.core.errors import UserError
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.registering import register_model
from webapp.registry.services import name_taken
from workers.starter import catalog
from workers.starter.shop import Name

ABANDONED_AFTER = timedelta(seconds=60)


def is_offered(workspace: Workspace) -> bool:
    """Whether the starter ships with this copy and some of it is not here yet."""
    shipped = {both(model.name) for model in _shipped()}
    ready = Model.objects.filter(workspace=workspace, family=catalog.FAMILY, state=ModelState.READY, name__in=shipped)
    return ready.count() < len(shipped)


def add_starter(*, user: User, slug: str) -> Model:
    """Register the starter's models in the workspace; returns the tuned one. Repeatable: what is here stays as it is."""
    workspace = access_workspace(user, slug, role=Role.MANAGER)
    if not _shipped():
        raise UserError(
            "model.no_starter",
            "This copy of Shuyuan came without the starter's weights; make them with “make starter”, or import a model.",
            status=409,
        )
    offered = is_offered(workspace)
    models = place_starter(user, workspace, abandoned_after=ABANDONED_AFTER)
    if offered:
        record_audit(actor=user, workspace=workspace, action="model.import", subject=catalog.FAMILY, source="starter")
    return list(models.values())[-1]


def place_starter(user: User, workspace: Workspace, *, abandoned_after: timedelta = timedelta()) -> dict[str, Model]:
    """The shipped models by key, bases first. A row that somebody fills right now is left to them for `abandoned_after`."""
    placed: dict[str, Model] = {}
    for model in _shipped():
        row, is_new = _row(user, workspace, model)
        if is_new or row.created_at <= timezone.now() - abandoned_after:
            row = register_model(
                workspace=workspace,
                name=row.name,
                kind=row.kind,
                folder=model.folder,
                base=placed.get(model.parent or ""),
                card=model.card(),
                created_by=user,
                row=row,
                family=catalog.FAMILY,
                licence="CC0-1.0",
                languages=["zh", "en"],
            )
        placed[model.key] = row
    return placed


def _shipped() -> list[catalog.DemoModel]:
    return [model for model in catalog.files().models if model.shipped]


def both(name: Name) -> str:
    """Rows have one name, so the starter's and the demo's say it in both languages."""
    return f"{name.zh} {name.en}"


def _row(user: User, workspace: Workspace, model: catalog.DemoModel) -> tuple[Model, bool]:
    """(the starter's row for this model, whether it was made now). Two clicks at once make one: a name is there once."""
    kind = ModelKind.TUNED if model.parent else ModelKind.BASE
    row, is_new = Model.objects.get_or_create(
        workspace=workspace, name=both(model.name), defaults={"family": catalog.FAMILY, "kind": kind, "created_by": user}
    )
    if row.family not in ("", catalog.FAMILY):
        raise name_taken(row.name)
    return row, is_new

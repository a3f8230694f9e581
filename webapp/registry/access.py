"""The door to models."""

from collections.abc import Iterable

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.registry.models import Model, ModelKind, ModelState


def access_model(user: User, model_id: int, *, role: str = Role.VIEWER) -> Model:
    return access_owned(user, Model, model_id, role=role)


def access_ready_model(
    user: User, workspace: Workspace, model_id: int, *, kinds: Iterable[str] | None = None, role: str = Role.VIEWER
) -> Model:
    """A model of this workspace that a job may use: its files are there and, with `kinds`, it is one of them."""
    model = access_model(user, model_id, role=role)
    if model.workspace_id != workspace.pk:
        raise NotFound
    if model.state != ModelState.READY:
        raise UserError(
            "model.not_ready",
            "The model “{name}” is {state}; choose one that is ready.",
            status=409,
            name=model.name,
            state=str(model.get_state_display()),
        )
    if kinds is not None and model.kind not in set(kinds):
        raise UserError(
            "model.wrong_kind",
            "“{name}” is of the kind “{kind}”, which cannot be used here.",
            name=model.name,
            kind=str(ModelKind(model.kind).label),
        )
    return model

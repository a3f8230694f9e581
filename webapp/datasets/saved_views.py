"""Filters under a name: everybody's own, and those that members share."""

from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.http import QueryDict

from webapp.accounts.access import access_owned, access_workspace, may
from webapp.accounts.models import Role, User
from webapp.core.errors import NotFound, UserError
from webapp.datasets.filtering import from_query, to_query
from webapp.datasets.models import SavedView
from webapp.datasets.words import clean

MOST_VIEWS = 200


def list_views(*, user: User, slug: str) -> QuerySet[SavedView]:
    """The user's own and those that are shared, by name."""
    workspace = access_workspace(user, slug)
    seen = SavedView.objects.filter(workspace=workspace).filter(Q(created_by=user) | Q(shared=True))
    return seen.select_related("created_by").order_by("name", "pk")[:MOST_VIEWS]


def save_view(*, user: User, slug: str, name: str, query: str, shared: bool = True) -> SavedView:
    """Keep a filter; one of the same name and maker is replaced."""
    workspace = access_workspace(user, slug)
    name = " ".join(clean(name).split())[:80]
    if not name:
        raise UserError("view.no_name", "The view has no name; give it one.", status=422)
    wanted = from_query(QueryDict(urlsplit(f"?{query}").query))
    if wanted.is_empty and not wanted.sort:
        raise UserError("view.no_filter", "Nothing is filtered; choose conditions first, then save them.", status=422)
    kept = to_query(wanted)
    if len(kept) > 2000:
        raise UserError("view.too_long", "The filter has too many conditions to be saved; remove some.", status=422)
    values = {"query": kept, "shared": shared}
    return SavedView.objects.update_or_create(workspace=workspace, created_by=user, name=name, defaults=values)[0]


def delete_view(*, user: User, view_id: int) -> None:
    """Its maker may, and who manages the workspace."""
    view = access_owned(user, SavedView, view_id)
    if view.created_by_id != user.pk and not (view.shared and may(user, view.workspace, Role.MANAGER)):
        raise NotFound
    view.delete()

"""What an empty conversation suggests to ask. Apps above register functions that know the workspace."""

from collections.abc import Callable

from webapp.accounts.models import User, Workspace

MAXIMUM = 6
Suggest = Callable[[Workspace, User], list[str]]
_sources: list[Suggest] = []


def register(source: Suggest) -> Suggest:
    """`source(workspace, user)` gives first messages that make sense there; an empty list when it has none."""
    _sources.append(source)
    return source


def suggestions(workspace: Workspace, user: User) -> list[str]:
    found = [text for source in _sources for text in source(workspace, user)]
    return list(dict.fromkeys(found))[:MAXIMUM]

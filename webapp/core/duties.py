"""Duties: small things that must happen every so often (return expired leases, watch engines). Apps register them;
every worker runs them, so a duty must be safe when two run at once and cheap when there is nothing to do."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Duty:
    name: str
    every_seconds: float
    run: Callable[[], None]


_duties: dict[str, Duty] = {}


def register_duty(name: str, every_seconds: float, run: Callable[[], None]) -> None:
    _duties[name] = Duty(name, every_seconds, run)


def all_duties() -> list[Duty]:
    return list(_duties.values())

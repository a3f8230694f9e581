"""Job kinds: what each app that owns a kind tells about it. A kind is added in one file by `register(JobKind(...))`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from django.utils.functional import Promise

from webapp.core.errors import NotFound
from workers.spec.base import Spec

if TYPE_CHECKING:
    from webapp.jobs.models import Job

Inputs = Mapping[str, Any]


def _nothing(job: "Job") -> None:
    """Kinds that have nothing to do at this moment."""


def _no_inputs(job: "Job") -> Inputs:
    return {}


def _no_context(job: "Job") -> dict[str, Any]:
    return {}


def _no_secrets(job: "Job") -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    `inputs(job)` names the files that the program reads, by role (`workers.spec.run.RunFile.inputs`).
    `finished(job)` runs once the program ended well, before the job counts as done: it registers what was made.
    It must be repeatable, because the process may be killed in the middle of it.
    `ended(job)` runs after the job failed or was cancelled. `page(job)` is the URL of the thing the job made.
    `environment(job)` adds variables (an endpoint's key) that must not lie in a file.
    """

    name: str
    label: str | Promise
    spec: type[Spec]
    program: str
    resource: Literal["compute", "light"] = "compute"
    """compute: a device of its own (a GPU where there is one, else a CPU slot); light: files in and out, beside them."""
    icon: str = "activity"
    nav: str = "jobs"
    """The part of the site that its page belongs to: the URL name of a list page."""
    inputs: Callable[["Job"], Inputs] = _no_inputs
    finished: Callable[["Job"], None] = _nothing
    ended: Callable[["Job"], None] = _nothing
    page: Callable[["Job"], str | None] = _nothing
    environment: Callable[["Job"], dict[str, str]] = _no_secrets
    resumable: bool = True
    curves: list[str] = field(default_factory=list)
    """Metrics to draw on the job page, in this order; those not named follow."""
    partial: str = ""
    """Template with what only this kind shows on the job page; it sees `job` and `context(job)`."""
    context: Callable[["Job"], dict[str, Any]] = _no_context


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> JobKind:
    _kinds[kind.name] = kind
    return kind


def get_kind(name: str) -> JobKind:
    if name not in _kinds:
        raise NotFound("job.unknown_kind", "There is no kind of job of that name.")
    return _kinds[name]


def all_kinds() -> list[JobKind]:
    return list(_kinds.values())

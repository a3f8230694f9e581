"""What job pages read: the queue with positions and estimates, the log's tail, curves."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import Avg, DurationField, ExpressionWrapper, F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

from webapp.accounts.models import Workspace
from webapp.core import charts
from webapp.jobs import paths
from webapp.jobs.kinds import get_kind
from webapp.jobs.leases import queue_order
from webapp.jobs.models import ALIVE, RESOURCES, DeviceSlot, Job, MetricPoint, State

METRICS = {
    "accuracy": noop("share right"),
    "loss": noop("loss"),
    "learning_rate": noop("learning rate"),
    "held_out_loss": noop("held-out loss"),
    "held_out_accuracy": noop("held-out share right"),
    "held_out_margin": noop("held-out lead of the better answer"),
    "held_out_reward": noop("held-out reward"),
    "margin": noop("lead of the better answer"),
    "reward": noop("reward"),
    "answer_tokens": noop("tokens of an answer"),
    "even_groups": noop("questions that taught nothing"),
    "tokens_per_second": noop("tokens per second"),
    "grad_norm": noop("gradient norm"),
    "teraflops": noop("TFLOP per second"),
    "mfu": noop("share of the machine's peak (MFU)"),
}
LOG_TAIL = 64 * 1024


@dataclass(frozen=True)
class QueueEntry:
    """A waiting job: its place (1 = next) and, when it can be told, how many seconds until it starts."""

    job: Job
    position: int
    starts_in: float | None


def workspace_jobs(workspace: Workspace) -> QuerySet[Job]:
    return Job.objects.filter(workspace=workspace).select_related("created_by")


def running_jobs(workspace: Workspace) -> list[Job]:
    jobs = workspace_jobs(workspace).filter(state__in=[State.RUNNING, State.STOPPING]).select_related("slot")
    return list(jobs.order_by("started_at"))


def waiting_jobs(workspace: Workspace) -> list[QueueEntry]:
    """This workspace's part of the queue; positions count everybody's jobs, since devices are shared."""
    entries: list[QueueEntry] = []
    mine = set(Job.objects.filter(workspace=workspace, state=State.QUEUED).values_list("id", flat=True))
    if not mine:
        return []
    for resource in RESOURCES:
        entries += [entry for entry in _estimates(resource) if entry.job.pk in mine]
    people = {job.pk: job for job in workspace_jobs(workspace).filter(pk__in=mine)}
    return [QueueEntry(people[entry.job.pk], entry.position, entry.starts_in) for entry in entries if entry.job.pk in people]


def _estimates(resource: str) -> list[QueueEntry]:
    """Place the queue on the slots in order, each job lasting what its kind took on average."""
    slots = max(1, DeviceSlot.objects.filter(resource=resource).count())
    now = timezone.now()
    free_at: list[float] = []
    for job in Job.objects.filter(resource=resource, state__in=[State.RUNNING, State.STOPPING]):
        average = usual_seconds(job.kind)
        ran = (now - job.started_at).total_seconds() if job.started_at else 0.0
        known = job.eta_seconds
        free_at.append(known if known is not None else max(1.0, average - ran))
    free_at = sorted(free_at)[:slots] + [0.0] * max(0, slots - len(free_at))
    entries = []
    for position, job in enumerate(queue_order(resource), start=1):
        free_at.sort()
        entries.append(QueueEntry(job, position, free_at[0]))
        free_at[0] += usual_seconds(job.kind)
    return entries


def usual_seconds(kind: str) -> float:
    """Mean run time of this kind's last finished jobs; a minute when none has finished yet."""
    span = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    recent = Job.objects.filter(kind=kind, state=State.DONE, finished_at__isnull=False).order_by("-id").values("pk")[:20]
    mean = Job.objects.filter(pk__in=[row["pk"] for row in recent]).aggregate(mean=Avg(span))["mean"]
    return mean.total_seconds() if mean else 60.0


def counts(workspace: Workspace) -> dict[str, int]:
    alive = list(Job.objects.filter(workspace=workspace, state__in=ALIVE).values_list("state", flat=True))
    return {"running": len(alive) - alive.count(State.QUEUED), "queued": alive.count(State.QUEUED)}


def read_log(job: Job, *, after: int | None = None) -> tuple[str, int]:
    """The log from a byte offset (or its tail) and the offset to ask for next."""
    path: Path = paths.log_file(job.pk)
    try:
        size = path.stat().st_size
        start = max(0, size - LOG_TAIL) if after is None or after > size else after
        with path.open("rb") as file:
            file.seek(start)
            block = file.read(LOG_TAIL)
    except FileNotFoundError:
        return "", 0
    return block.decode("utf-8", "replace"), start + len(block)


def metric_names(job: Job) -> list[str]:
    names = set(MetricPoint.objects.filter(job=job).values_list("name", flat=True).distinct())
    wanted = [name for name in get_kind(job.kind).curves if name in names]
    return wanted + sorted(names - set(wanted))


def metric_label(name: str) -> str:
    """A metric in the reader's language; what a program invents keeps its name."""
    return gettext(METRICS[name]) if name in METRICS else name


def metric_figure(job: Job, names: list[str]) -> dict[str, Any]:
    """Curves over steps, each down-sampled to what a screen can show."""
    series: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    points = MetricPoint.objects.filter(job=job, name__in=names).order_by("name", "step")
    for name, step, value in points.values_list("name", "step", "value"):
        if value is not None:
            series[name][0].append(step)
            series[name][1].append(value)
    traces = [charts.line(metric_label(name), *series[name], colour=index) for index, name in enumerate(names) if name in series]
    return charts.figure(traces, x=gettext("step"))


def artifact_path(job: Job, relative: str) -> Path:
    from webapp.core.storage import inside

    return inside(paths.output_dir(job.pk), relative)

"""A job, its device slot, and what its program tells: events, metric points, artifacts."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace


class State(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    STOPPING = "stopping", _("stopping")
    PAUSED = "paused", _("paused")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


ALIVE = [State.QUEUED, State.RUNNING, State.STOPPING]
ENDED = [State.DONE, State.FAILED, State.CANCELLED]


RESOURCES = ["cpu", "gpu", "light"]


class Wish(models.TextChoices):
    """What a person asked of a job that holds a lease."""

    NONE = "", ""
    CANCEL = "cancel", _("cancel")
    PAUSE = "pause", _("pause")


class Job(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=40)
    name = models.CharField(max_length=160)
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64)
    resource = models.CharField(max_length=8, default="cpu")
    priority = models.IntegerField(default=0)
    idempotency_key = models.CharField(max_length=80, null=True, blank=True)
    cloned_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="clones")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="jobs")
    created_at = models.DateTimeField(auto_now_add=True)

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    wish = models.CharField(max_length=8, choices=Wish.choices, default=Wish.NONE, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(default=0)
    """Times in a row that the program was lost without having got further."""
    queued_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    child_started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    host = models.CharField(max_length=120, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    pid_started = models.FloatField(null=True, blank=True)

    phase = models.CharField(max_length=40, blank=True)
    progress_done = models.FloatField(default=0)
    progress_total = models.FloatField(default=0)
    progress_unit = models.CharField(max_length=20, blank=True)
    eta_seconds = models.FloatField(null=True, blank=True)
    event_seq = models.PositiveIntegerField(default=0)
    event_offset = models.PositiveBigIntegerField(default=0)

    error_code = models.CharField(max_length=80, blank=True)
    error_template = models.TextField(blank=True)
    error_params = models.JSONField(default=dict, blank=True)
    result = models.JSONField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-id"]),
            models.Index(fields=["state", "resource", "-priority", "id"]),
        ]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "idempotency_key"], name="one_job_per_idempotency_key"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk} ({self.kind}): {self.name}"

    @property
    def progress(self) -> float:
        """Share done, 0–1."""
        if self.state == State.DONE:
            return 1.0
        return min(1.0, self.progress_done / self.progress_total) if self.progress_total > 0 else 0.0

    @property
    def seconds_taken(self) -> float | None:
        """From its last start to its end."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at and self.started_at else None


class DeviceSlot(models.Model):
    """A device, or a share of one, that one job at a time may hold."""

    host = models.CharField(max_length=120)
    resource = models.CharField(max_length=8)
    index = models.PositiveIntegerField()
    job = models.OneToOneField(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="slot")
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "resource", "index"], name="one_row_per_slot")]

    def __str__(self) -> str:
        return f"{self.host}/{self.resource}:{self.index}"


class JobEvent(models.Model):
    """What a program said beside metrics and progress: phases, samples, warnings, errors."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=20)
    at = models.DateTimeField()
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="one_event_per_seq")]
        ordering = ["seq"]

    def __str__(self) -> str:
        return f"job {self.job_id} #{self.seq} {self.type}"


class MetricPoint(models.Model):
    """One point of one curve. A resumed attempt that repeats a step overwrites its points."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="points")
    name = models.CharField(max_length=40)
    step = models.PositiveBigIntegerField()
    value = models.FloatField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name", "step"], name="one_point_per_step")]

    def __str__(self) -> str:
        return f"job {self.job_id} {self.name}[{self.step}] = {self.value}"


class Artifact(models.Model):
    """A file or folder that a job made and the product keeps, relative to the job's output folder."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=120)
    path = models.CharField(max_length=400)
    details = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="one_artifact_per_name")]

    def __str__(self) -> str:
        return f"{self.name} of job {self.job_id}"

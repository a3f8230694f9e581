"""Deployments: a model that is to be served, the engine process that serves it, and what was used."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import ApiKey, Workspace
from webapp.registry.models import Model, ModelKind


class Wanted(models.TextChoices):
    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")


class Health(models.TextChoices):
    STOPPED = "stopped", _("stopped")
    STARTING = "starting", _("starting")
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")


class Deployment(models.Model):
    """`wanted` is what people asked for; `health` is what is. The watching worker makes the second follow the first."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="deployments")
    name = models.CharField(max_length=80, help_text="the model name that API clients use")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="deployments")
    spec = models.JSONField(help_text="workers.spec.serve.ServeSpec")
    wanted = models.CharField(max_length=8, choices=Wanted.choices, default=Wanted.RUNNING)
    health = models.CharField(max_length=8, choices=Health.choices, default=Health.STOPPED)
    generation = models.PositiveIntegerField(default=1, help_text="grows with every wish to restart")
    host = models.CharField(max_length=120, blank=True, help_text="the machine whose worker started the engine")
    address = models.CharField(max_length=120, blank=True, help_text="where the web reaches that machine's engines")
    port = models.PositiveIntegerField(null=True, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    pid_started = models.FloatField(null=True, blank=True)
    watcher = models.CharField(max_length=120, blank=True, help_text="identity of the process that started the engine")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    token = models.CharField(max_length=64, help_text="guards the engine's loopback port")
    engine = models.JSONField(default=dict, blank=True, help_text="what the engine told when it was ready")
    restarts = models.PositiveIntegerField(default=0, help_text="times that a ready engine was lost and started again")
    failures = models.PositiveIntegerField(default=0, help_text="starts that failed in a row")
    next_start_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(default=dict, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_deployment_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """What people see: the health, or that it is on its way to what was wanted."""
        if self.wanted == Wanted.STOPPED:
            return "stopped" if self.health in {Health.STOPPED, Health.FAILED} else "stopping"
        return "starting" if self.health == Health.STOPPED else str(self.health)

    @property
    def is_remote(self) -> bool:
        """Somebody else's endpoint answers; there is no engine to start or watch."""
        return self.model.kind == ModelKind.ENDPOINT

    @property
    def url(self) -> str:
        """The engine's root address; empty while it has none."""
        return f"http://{self.address}:{self.port}" if self.port else ""


class Usage(models.Model):
    """Tokens and requests of one deployment, by day and key (None: from the web)."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="usage")
    key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    day = models.DateField()
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "key", "day"], name="one_usage_row_per_key_and_day"),
            models.UniqueConstraint(
                fields=["deployment", "day"], condition=models.Q(key__isnull=True), name="one_usage_row_of_the_web_per_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} on {self.day}"

"""Models: weights in Hugging Face format, LoRA adapters on a base, or endpoints of somebody else; each with its lineage."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job


class ModelKind(models.TextChoices):
    TOKENIZER = "tokenizer", _("tokenizer")
    BASE = "base", _("base model")
    TUNED = "tuned", _("tuned model")
    ADAPTER = "adapter", _("LoRA adapter")
    REWARD = "reward", _("reward model")
    ENDPOINT = "endpoint", _("endpoint")


class ModelState(models.TextChoices):
    BUILDING = "building", _("building")
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")


class Model(models.Model):
    """One version of a model. `family` gathers the versions that descend from one another on a time line."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=120)
    family = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=ModelKind.choices)
    state = models.CharField(max_length=10, choices=ModelState.choices, default=ModelState.BUILDING)
    base = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="descendants")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="models")
    datasets = models.ManyToManyField(DatasetVersion, blank=True, related_name="models")
    path = models.CharField(max_length=400, blank=True, help_text="folder, relative to the data folder")
    bytes = models.PositiveBigIntegerField(default=0)
    weights_sha256 = models.CharField(max_length=64, blank=True)
    template_hash = models.CharField(max_length=64, blank=True)
    architecture = models.CharField(max_length=80, blank=True)
    parameters = models.PositiveBigIntegerField(default=0)
    context_length = models.PositiveIntegerField(default=0)
    vocabulary = models.PositiveIntegerField(default=0)
    languages = models.JSONField(default=list, blank=True)
    licence = models.CharField(max_length=60, blank=True)
    description = models.TextField(blank=True)
    origin = models.CharField(max_length=400, blank=True, help_text="folder or hub id that it was imported from")
    card = models.JSONField(default=dict, blank=True, help_text="recipe, training figures, scores")
    endpoint_url = models.URLField(max_length=400, blank=True)
    endpoint_model = models.CharField(max_length=200, blank=True)
    endpoint_key = models.TextField(blank=True, help_text="encrypted with a key derived from the secret key")
    error = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_model_per_name")]
        indexes = [models.Index(fields=["workspace", "-id"])]

    def __str__(self) -> str:
        return self.name


class RunNote(models.Model):
    """What people write about a training run. `tags`: words between commas, also at both ends (`,baseline,fast,`)."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="note")
    text = models.TextField(blank=True)
    tags = models.CharField(max_length=400, blank=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"note on {self.job}"

    @property
    def words(self) -> list[str]:
        return [word for word in self.tags.split(",") if word]


class Sweep(models.Model):
    """Runs that differ in a few settings. `axes`: setting → the values tried."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="sweeps")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=40)
    axes = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["workspace", "-id"], name="registry_sweep_newest")]

    def __str__(self) -> str:
        return self.name


class SweepRun(models.Model):
    """One run of a sweep, and the values that it tries: setting → value."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="runs")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="sweep_run")
    choice = models.JSONField(default=dict)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.sweep}: {self.choice}"

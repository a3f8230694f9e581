"""Evaluation: a suite says how a dataset version is asked and scored; an evaluation is one model on one suite."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.registry.models import Model


class Suite(models.Model):
    """`config`: a `workers.spec.evaluate.SuiteConfig`. A suite never changes once it has been used."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="suites")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="suites")
    config = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_suite_per_name")]

    def __str__(self) -> str:
        return self.name


class EvaluationState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class Evaluation(models.Model):
    """Score is a proportion 0–1 with its 95 % interval; `summary` keeps the whole result of the program."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="evaluations")
    suite = models.ForeignKey(Suite, on_delete=models.CASCADE, related_name="evaluations")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="evaluations")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="evaluations")
    state = models.CharField(max_length=10, choices=EvaluationState.choices, default=EvaluationState.RUNNING)
    score = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    count = models.PositiveIntegerField(default=0)
    correct = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    summary = models.JSONField(default=dict)
    scores = models.BinaryField(default=bytes, help_text="score of every sample by position, float32, little-endian, zlib")
    error = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["suite", "model", "-id"])]

    def __str__(self) -> str:
        return f"{self.model} on {self.suite}"


class Sample(models.Model):
    """One question with what the model made of it. `data`: prompt, reference, output, choice scores, extracted answer."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="samples")
    position = models.PositiveIntegerField()
    key = models.CharField(max_length=120)
    correct = models.BooleanField()
    score = models.FloatField()
    data = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "position"], name="one_sample_per_position")]
        indexes = [models.Index(fields=["evaluation", "correct", "position"])]

    def __str__(self) -> str:
        return f"sample {self.position} of evaluation {self.evaluation_id}"

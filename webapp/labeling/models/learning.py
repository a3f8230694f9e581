"""Learning from labels: rounds of freeze, train, score and re-order, and when the next one starts by itself."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job
from webapp.labeling.models.projects import LabelProject
from webapp.labeling.models.tasks import PredictionSource
from webapp.registry.models import Model
from webapp.serving.models import Deployment


class RoundState(models.TextChoices):
    FREEZING = "freezing", _("freezing the labels")
    LEARNING = "learning", _("learning")
    STARTING = "starting", _("starting the model")
    SCORING = "scoring", _("proposing answers")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


LIVE_ROUNDS = (RoundState.FREEZING, RoundState.LEARNING, RoundState.STARTING, RoundState.SCORING)


class LearningRound(models.Model):
    """One round. Without `base_model` the quick assistant learns, else that model is fine-tuned, deployed and asked.

    `labels`: annotations when it began, `learnt`: answered records that were learnt. `right` of `held_out` whole proposals
    for records that were not learnt are what people said. `claimed_until`: a worker is moving it on until then.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=RoundState.choices, default=RoundState.FREEZING)
    base_model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    is_quick = models.BooleanField(default=True)
    limit = models.PositiveIntegerField(default=10_000)
    labels = models.PositiveBigIntegerField(default=0)
    learnt = models.PositiveBigIntegerField(default=0)
    right = models.PositiveBigIntegerField(default=0)
    held_out = models.PositiveBigIntegerField(default=0)
    scored = models.PositiveBigIntegerField(default=0)
    version = models.ForeignKey(DatasetVersion, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    learn_job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    deployment = models.ForeignKey(Deployment, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    score_job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    source = models.ForeignKey(PredictionSource, null=True, blank=True, on_delete=models.SET_NULL, related_name="rounds")
    error = models.JSONField(default=dict, blank=True)
    is_automatic = models.BooleanField(default=False)
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="one_round_per_number"),
            models.UniqueConstraint(
                fields=["project"], condition=models.Q(state__in=[str(state) for state in LIVE_ROUNDS]), name="one_live_round"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(state__in=[str(state) for state in LIVE_ROUNDS]), name="live_rounds")
        ]

    def __str__(self) -> str:
        return f"round {self.number} of label project {self.project_id}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_ROUNDS

    @property
    def accuracy(self) -> float | None:
        return self.right / self.held_out if self.held_out else None


class LearningPlan(models.Model):
    """A round starts by itself after every `every` new annotations (0: never), in the name of the person who wanted that."""

    project = models.OneToOneField(LabelProject, on_delete=models.CASCADE, related_name="learning_plan")
    every = models.PositiveIntegerField(default=0)
    base_model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    def __str__(self) -> str:
        return f"label project {self.project_id}: every {self.every}"

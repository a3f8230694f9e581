"""What people submitted, what reviewers and adjudicators decided, and the counts that agreement is computed from."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.labeling.models.projects import LabelProject
from webapp.labeling.models.tasks import Prediction, Task


class Help(models.TextChoices):
    """What became of the prediction that a person was shown."""

    ACCEPTED = "accepted", _("accepted as it was")
    EDITED = "edited", _("changed")
    REJECTED = "rejected", _("turned down")


class ReviewState(models.TextChoices):
    PENDING = "pending", _("waits for review")
    ACCEPTED = "accepted", _("accepted")
    FIXED = "fixed", _("corrected by a reviewer")
    REJECTED = "rejected", _("sent back")
    ANSWERED = "answered", _("answered again")


class Annotation(models.Model):
    """What somebody submitted. What was said is never changed: a correction is a new revision, and the newest counts.

    `value`: [{"q": field name, "type": …, "value": …}]. `surplus`: came when no slot was open any more. `fixed_by`: the
    reviewer who made this revision of somebody's annotation. `score`: how right it is, on a gold question.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="annotations")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="annotations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="annotations")
    revision = models.PositiveIntegerField(default=1)
    value = models.JSONField()
    skipped = models.BooleanField(default=False)
    surplus = models.BooleanField(default=False)
    is_current = models.BooleanField(default=True)
    prediction = models.ForeignKey(Prediction, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    help = models.CharField(max_length=10, choices=Help.choices, blank=True, default="")
    is_gold = models.BooleanField(default=False)
    score = models.FloatField(null=True, blank=True)
    review = models.CharField(max_length=10, choices=ReviewState.choices, blank=True, default="")
    fixed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    lead_time_ms = models.PositiveIntegerField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=80)
    submitted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "user", "revision"], name="one_annotation_per_revision"),
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="one_annotation_per_idempotency_key"),
            models.UniqueConstraint(
                fields=["task", "user"], condition=models.Q(is_current=True), name="one_current_annotation_per_person"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], condition=models.Q(is_current=True), name="current_annotations"),
            models.Index(fields=["project", "user", "-id"], condition=models.Q(is_current=True), name="own_annotations"),
        ]

    def __str__(self) -> str:
        return f"annotation of task {self.task_id} by user {self.user_id}, revision {self.revision}"


class Review(models.Model):
    """A look at one annotation by somebody else. Rows are kept: an answer sent back and given again has two."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="reviews")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="reviews")
    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="reviews")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=10, choices=ReviewState.choices, default=ReviewState.PENDING)
    reason = models.TextField(blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["annotation"], name="one_review_per_revision")]
        indexes = [
            models.Index(fields=["project", "id"], condition=models.Q(state="pending"), name="pending_reviews"),
            models.Index(fields=["project", "author", "id"], condition=models.Q(state="rejected"), name="returned_annotations"),
        ]

    def __str__(self) -> str:
        return f"review of annotation {self.annotation_id}: {self.state}"


class Adjudication(models.Model):
    """What counts where people differed; the newest one of a task."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="adjudications")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="adjudications")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    value = models.JSONField()
    note = models.TextField(blank=True)
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task"], condition=models.Q(is_current=True), name="one_current_adjudication_per_task"
            )
        ]

    def __str__(self) -> str:
        return f"adjudication of task {self.task_id}"


class AgreementCount(models.Model):
    """How often people gave this combination of answers to a question: all that figures of agreement need.

    `pair`: "" for all who answered a task, or two user ids. `pattern`: JSON, see `webapp.labeling.agreement.patterns`.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="agreement_counts")
    field = models.CharField(max_length=130)
    pair = models.CharField(max_length=50, blank=True)
    digest = models.CharField(max_length=32)
    pattern = models.TextField()
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "field", "pair", "digest"], name="one_count_per_agreement_pattern")
        ]

    def __str__(self) -> str:
        return f"{self.field} {self.pair}: {self.pattern} × {self.count}"

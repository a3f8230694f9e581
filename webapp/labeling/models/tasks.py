"""Tasks and what belongs to them before an answer is there: leases, drafts, assignments, what models propose."""

from django.conf import settings
from django.db import models

from webapp.labeling.models.projects import LabelProject


class Task(models.Model):
    """One record to label. `open_slots` = annotations still wanted (overlap minus submitted), 0 when done.

    `is_reserved`: only for those it is assigned to. `is_reopened`: became free again after some had passed it in the order.
    `gold`: the known right answers; such a task has no slots and is given to everybody now and then. `agreement`: of those
    who answered, 0 to 1. `is_disputed`: waits for adjudication.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="tasks")
    position = models.PositiveBigIntegerField()
    priority = models.IntegerField(default=0)
    key = models.CharField(max_length=120)
    data = models.JSONField()
    open_slots = models.PositiveSmallIntegerField(default=1)
    is_reserved = models.BooleanField(default=False, db_default=False)
    is_reopened = models.BooleanField(default=False, db_default=False)
    is_disputed = models.BooleanField(default=False, db_default=False)
    gold = models.JSONField(null=True, blank=True)
    agreement = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "position"], name="one_task_per_position")]
        indexes = [
            models.Index(
                fields=["project", "-priority", "position"], condition=models.Q(open_slots__gt=0), name="open_tasks_in_order"
            ),
            models.Index(
                fields=["project", "-priority", "position"],
                condition=models.Q(open_slots__gt=0, is_reopened=True),
                name="reopened_tasks_in_order",
            ),
            models.Index(fields=["project", "key"], name="tasks_by_key"),
            models.Index(fields=["project", "position"], condition=models.Q(is_disputed=True), name="disputed_tasks"),
            models.Index(fields=["project", "agreement"], condition=models.Q(agreement__isnull=False), name="tasks_by_agreement"),
            models.Index(fields=["project", "position"], condition=models.Q(gold__isnull=False), name="gold_tasks"),
        ]

    def __str__(self) -> str:
        return f"task {self.position} of project {self.project_id}"


class TaskLease(models.Model):
    """A task handed to somebody for a while. Expiry is judged when the next task is claimed.

    `takes_slot`: not for gold questions and for answers that a reviewer sent back.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    takes_slot = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="one_lease_per_task_and_user")]

        indexes = [models.Index(fields=["expires_at"], name="leases_by_expiry")]

    def __str__(self) -> str:
        return f"task {self.task_id} with user {self.user_id}"


class Draft(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="drafts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    value = models.JSONField()
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="one_draft_per_task_and_user")]

    def __str__(self) -> str:
        return f"draft of user {self.user_id} on task {self.task_id}"


class Assignment(models.Model):
    """A task that is reserved for somebody; done when the person has answered or skipped it."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="assignments")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    is_done = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="one_assignment_per_task_and_person")]
        indexes = [
            models.Index(fields=["project", "user", "task"], condition=models.Q(is_done=False), name="assigned_tasks"),
        ]

    def __str__(self) -> str:
        return f"task {self.task_id} for user {self.user_id}"


class PredictionSource(models.Model):
    """A version of a model that proposed answers in a project, and what people made of them.

    `keys_without`: key presses that the submitted answers cost from nothing, `keys_with`: that they cost with the proposals
    (estimated from the keys of the label page, see `learning.effort`).
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="prediction_sources")
    name = models.CharField(max_length=120)
    made = models.PositiveBigIntegerField(default=0)
    accepted = models.PositiveBigIntegerField(default=0)
    edited = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)
    keys_without = models.PositiveBigIntegerField(default=0, db_default=0)
    keys_with = models.PositiveBigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_prediction_source_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def saved(self) -> int:
        """Key presses; below zero where wrong proposals cost more than they helped."""
        return self.keys_without - self.keys_with

    @property
    def saved_share(self) -> float | None:
        return self.saved / self.keys_without if self.keys_without else None


class Prediction(models.Model):
    """What a model proposes for a task, in the shape of an annotation. `score`: how sure it is, 0 to 1.

    `ranked`: {question: likeliest choices}, which a long list of choices offers first.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="predictions")
    source = models.ForeignKey(PredictionSource, on_delete=models.CASCADE, related_name="predictions")
    value = models.JSONField()
    score = models.FloatField(null=True, blank=True)
    ranked = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "source"], name="one_prediction_per_task_and_source")]

    def __str__(self) -> str:
        return f"prediction for task {self.task_id}"

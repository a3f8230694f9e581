"""Label projects: a schema over the records of a dataset version, tasks handed out by lease, drafts, and annotations."""

from django.conf import settings
from django.db import models

from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion


class LabelProject(models.Model):
    """`schema`: {"fields": [{"name", "type": "choice" | "text", "label", "choices", "required", "source"}]}."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="label_projects")
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="label_projects")
    name = models.CharField(max_length=120)
    instructions = models.TextField(blank=True)
    schema = models.JSONField()
    overlap = models.PositiveSmallIntegerField(default=1)
    task_count = models.PositiveBigIntegerField(default=0)
    done_count = models.PositiveBigIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Task(models.Model):
    """One record to label. `open_slots` = annotations still wanted (overlap minus submitted), 0 when done."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="tasks")
    position = models.PositiveBigIntegerField()
    priority = models.IntegerField(default=0)
    key = models.CharField(max_length=120)
    data = models.JSONField()
    open_slots = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "position"], name="one_task_per_position")]
        indexes = [
            models.Index(
                fields=["project", "-priority", "position"], condition=models.Q(open_slots__gt=0), name="open_tasks_in_order"
            )
        ]

    def __str__(self) -> str:
        return f"task {self.position} of project {self.project_id}"


class TaskLease(models.Model):
    """A task handed to somebody for a while. Expiry is judged when the next task is claimed."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="one_lease_per_task_and_user")]

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


class Annotation(models.Model):
    """What somebody submitted. Rows are never changed: a correction is a new revision, and the newest counts.

    `value`: [{"q": field name, "type": "choice" | "text", "value": …}]. `surplus`: came when no slot was open any more.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="annotations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="annotations")
    revision = models.PositiveIntegerField(default=1)
    value = models.JSONField()
    skipped = models.BooleanField(default=False)
    surplus = models.BooleanField(default=False)
    is_current = models.BooleanField(default=True)
    lead_time_ms = models.PositiveIntegerField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=80)
    submitted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "user", "revision"], name="one_annotation_per_revision"),
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="one_annotation_per_idempotency_key"),
        ]

    def __str__(self) -> str:
        return f"annotation of task {self.task_id} by user {self.user_id}, revision {self.revision}"

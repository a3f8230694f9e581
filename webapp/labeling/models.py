"""Label projects: a schema over the records of a dataset version, tasks handed out by lease, drafts, and annotations."""

from django.conf import settings
from django.db import models

from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion


class LabelProject(models.Model):
    """`schema`: {"fields": [{"name", "type": "choice" | "text", "label", "choices", "required", "source"}]}.

    `task_total` tasks are wanted and `task_count` of them made so far; the counters spare every page a COUNT.
    `annotation_count` and `skip_count` are of current annotations.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="label_projects")
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="label_projects")
    name = models.CharField(max_length=120)
    instructions = models.TextField(blank=True)
    schema = models.JSONField()
    overlap = models.PositiveSmallIntegerField(default=1)
    is_open = models.BooleanField(default=True, help_text="a closed project hands out no tasks")
    task_total = models.PositiveBigIntegerField(default=0)
    task_count = models.PositiveBigIntegerField(default=0)
    done_count = models.PositiveBigIntegerField(default=0)
    annotation_count = models.PositiveBigIntegerField(default=0)
    skip_count = models.PositiveBigIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_label_project_per_name")]

    def __str__(self) -> str:
        return self.name


class Contribution(models.Model):
    """One person in one project: counters, and where the person is in the order of the tasks.

    `cursor_priority`, `cursor_position`: the last task handed out; the next one is looked for behind it, so that asking
    costs the same however much is done. `back`: the annotation that «undo» showed last.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="contributions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    submitted = models.PositiveBigIntegerField(default=0)
    skipped = models.PositiveBigIntegerField(default=0)
    lead_time_ms = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(null=True, blank=True)
    cursor_priority = models.IntegerField(null=True, blank=True)
    cursor_position = models.BigIntegerField(null=True, blank=True)
    back = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_contribution_per_person")]

    def __str__(self) -> str:
        return f"user {self.user_id} in label project {self.project_id}: {self.submitted}"


class LabelCount(models.Model):
    """How often a choice stands in the current annotations of a project."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="label_counts")
    field = models.CharField(max_length=60)
    value = models.CharField(max_length=200)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "field", "value"], name="one_count_per_label")]

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.count}"


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

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="annotations")
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

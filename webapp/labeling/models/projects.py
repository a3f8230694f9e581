"""Label projects: a schema over the records of a dataset version, who works in them, and the counters that pages show."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Role, Workspace
from webapp.datasets.models import DatasetVersion


class OverlapMode(models.TextChoices):
    """How many people label a record: the same number everywhere, a number for a share of the records and one for the
    rest, or more and more people until they agree."""

    FIXED = "fixed", _("the same number for every record")
    SHARE = "share", _("several for a share of the records")
    ADAPTIVE = "adaptive", _("more people until they agree")


class LabelProject(models.Model):
    """`schema`: {"fields": [{"name", "type": "choice" | "text", "label", "choices", "required", "source"}]}.

    `task_total` tasks are wanted and `task_count` of them made so far; the counters spare every page a COUNT.
    `annotation_count` and `skip_count` are of current annotations.

    Shares are in percent. `overlap_most`: where adaptive overlap ends. Tasks whose people agree less than
    `agreement_target` (0 to 1) when all slots are filled are disputed and wait for adjudication. `members_only`: only people
    with a role in the project see it. `blind`: who labels sees no other's work, who reviews sees no names.
    `has_…` spare every claim a look into tables that most projects do not use.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="label_projects")
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="label_projects")
    name = models.CharField(max_length=120)
    instructions = models.TextField(blank=True)
    schema = models.JSONField()
    overlap = models.PositiveSmallIntegerField(default=1)
    overlap_mode = models.CharField(max_length=10, choices=OverlapMode.choices, default=OverlapMode.FIXED)
    overlap_share = models.PositiveSmallIntegerField(default=100)
    overlap_most = models.PositiveSmallIntegerField(default=5)
    agreement_target = models.FloatField(null=True, blank=True)
    members_only = models.BooleanField(default=False)
    blind = models.BooleanField(default=True)
    gold_share = models.PositiveSmallIntegerField(default=0)
    gold_pause_below = models.FloatField(null=True, blank=True)
    gold_minimum = models.PositiveSmallIntegerField(default=5)
    review_share = models.PositiveSmallIntegerField(default=0)
    is_open = models.BooleanField(default=True, help_text="a closed project hands out no tasks")
    has_assignments = models.BooleanField(default=False)
    has_predictions = models.BooleanField(default=False)
    has_webhooks = models.BooleanField(default=False)
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


class ProjectMember(models.Model):
    """A role in one project: more or less than the person has in the workspace; owners and managers keep theirs."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.ANNOTATOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_per_project_and_person")]

    def __str__(self) -> str:
        return f"user {self.user_id} in label project {self.project_id}: {self.role}"


class Contribution(models.Model):
    """One person in one project: counters, and where the person is in the order of the tasks.

    `cursor_priority`, `cursor_position`: the last task handed out; the next one is looked for behind it, so that asking
    costs the same however much is done. `swept_at`: when all tasks were last looked through for one that was missed.
    `back`: the annotation that «undo» showed last. `gold_points` / `gold_answered` is the score on gold questions.
    `accepted`, `fixed`, `rejected`: this person's work by reviewers; `reviewed`: others' work by this person.
    """

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="contributions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    submitted = models.PositiveBigIntegerField(default=0)
    skipped = models.PositiveBigIntegerField(default=0)
    lead_time_ms = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(null=True, blank=True)
    cursor_priority = models.IntegerField(null=True, blank=True)
    cursor_position = models.BigIntegerField(null=True, blank=True)
    swept_at = models.DateTimeField(null=True, blank=True)
    back = models.BigIntegerField(null=True, blank=True)
    gold_answered = models.PositiveIntegerField(default=0)
    gold_points = models.FloatField(default=0)
    is_paused = models.BooleanField(default=False)
    accepted = models.PositiveIntegerField(default=0)
    fixed = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    reviewed = models.PositiveIntegerField(default=0)

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


class DailyCount(models.Model):
    """What one person submitted on one day, for throughput and time per task."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="daily_counts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    submitted = models.PositiveIntegerField(default=0)
    lead_time_ms = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user", "day"], name="one_daily_count_per_person")]

    def __str__(self) -> str:
        return f"user {self.user_id} on {self.day}: {self.submitted}"

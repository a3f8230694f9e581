"""Label projects: a schema over the records of a dataset version, tasks handed out by lease, drafts, and annotations;
who works on what, what reviewers and adjudicators decided, and the counts that agreement is computed from.
"""

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


class PredictionSource(models.Model):
    """A version of a model that proposed answers in a project, and what people made of them."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="prediction_sources")
    name = models.CharField(max_length=120)
    made = models.PositiveBigIntegerField(default=0)
    accepted = models.PositiveBigIntegerField(default=0)
    edited = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_prediction_source_per_name")]

    def __str__(self) -> str:
        return self.name


class Prediction(models.Model):
    """What a model proposes for a task, in the shape of an annotation. `score`: how sure it is, 0 to 1."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="predictions")
    source = models.ForeignKey(PredictionSource, on_delete=models.CASCADE, related_name="predictions")
    value = models.JSONField()
    score = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "source"], name="one_prediction_per_task_and_source")]

    def __str__(self) -> str:
        return f"prediction for task {self.task_id}"


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


class ProjectMember(models.Model):
    """A role in one project: more or less than the person has in the workspace; owners and managers keep theirs."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.ANNOTATOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_per_project_and_person")]

    def __str__(self) -> str:
        return f"user {self.user_id} in label project {self.project_id}: {self.role}"


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


class Webhook(models.Model):
    """An address that is told what happens in a project. The secret signs every message."""

    project = models.ForeignKey(LabelProject, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    secret = models.CharField(max_length=80)
    events = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"webhook {self.url}"


class Delivery(models.Model):
    """One message to a webhook, tried until it was taken or given up. `next_at` empty: nothing more to do."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)
    payload = models.JSONField()
    attempts = models.PositiveSmallIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last attempt")
    trouble = models.CharField(max_length=200, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(next_at__isnull=False), name="deliveries_due"),
            models.Index(fields=["webhook", "-id"], name="deliveries_of_a_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to webhook {self.webhook_id}"

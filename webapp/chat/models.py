"""Conversations: a tree of turns (regenerating or editing makes a sibling), and what people thought of the answers."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace
from webapp.serving.models import Deployment


class Conversation(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="conversations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=160, blank=True)
    deployment = models.ForeignKey(Deployment, null=True, on_delete=models.SET_NULL, related_name="conversations")
    system_prompt = models.TextField(blank=True)
    settings = models.JSONField(default=dict, help_text="temperature, top_p, max_tokens")
    leaf = models.ForeignKey("Turn", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["workspace", "user", "-updated_at"])]

    def __str__(self) -> str:
        return self.title or f"conversation {self.pk}"


class TurnState(models.TextChoices):
    QUEUED = "queued", _("queued")
    STREAMING = "streaming", _("streaming")
    DONE = "done", _("done")
    STOPPED = "stopped", _("stopped")
    FAILED = "failed", _("failed")


OPEN = [TurnState.QUEUED, TurnState.STREAMING]


class Turn(models.Model):
    """A message of the user, or an answer. While an answer streams, its text is saved every half second;
    what came since lies in the Redis stream `turn:<id>`, each entry with the character offset at which it starts."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    role = models.CharField(max_length=10)
    content = models.TextField(blank=True)
    trace = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=10, choices=TurnState.choices, default=TurnState.DONE)
    stop_requested = models.BooleanField(default=False)
    deployment = models.ForeignKey(Deployment, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    model_name = models.CharField(max_length=120, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    usage = models.JSONField(default=dict, blank=True)
    error = models.JSONField(default=dict, blank=True)
    client_key = models.CharField(max_length=80, null=True, blank=True, help_text="a message sent twice with it is one turn")
    attempt = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="streaming: when its worker counts as lost; waiting: when to call a worker again",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "lease_expires_at"])]
        constraints = [models.UniqueConstraint(fields=["conversation", "client_key"], name="one_turn_per_client_key")]

    def __str__(self) -> str:
        return f"turn {self.pk} ({self.role})"


class Feedback(models.Model):
    """👍 (+1) or 👎 (−1) on an answer, with reasons and, at best, the answer it should have been."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    rating = models.SmallIntegerField()
    reasons = models.JSONField(default=list, blank=True)
    comment = models.TextField(blank=True)
    correction = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["turn", "user"], name="one_feedback_per_turn_and_user")]

    def __str__(self) -> str:
        return f"{self.rating:+d} on turn {self.turn_id}"
